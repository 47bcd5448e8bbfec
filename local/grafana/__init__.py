"""What Grafana shows: dashboards that are written here and generated, and where they come from."""
