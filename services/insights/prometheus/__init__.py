"""A read API that Prometheus's own clients and Grafana know: a documented subset of PromQL over streams and alerts."""
