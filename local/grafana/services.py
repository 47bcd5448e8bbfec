"""The three services from Prometheus: what they answer, store, score, say and deliver, and what it costs."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.units import (
    CountsPerMinute,
    CountsPerSecond,
    Dollars,
    Hours,
    Number,
    PercentUnit,
    RequestsPerSecond,
    Seconds,
    Short,
)

from local.grafana.panels import Panel, graph, laid_out, named


def make() -> Dashboard:
    """The whole dashboard."""
    about = "Whether the services themselves are well, from Prometheus, which asks each at /internal/metrics."
    page = named("services", "services", about, kind="prometheus", source="prometheus")
    page.time("now-1h", "now").refresh("10s")
    sections = {
        "Doors": _doors(),
        "Samples come in": _ingest(),
        "Streams are scored": _scoring(),
        "Models put it into words": _explaining(),
        "People are told": _alerts(),
        "What they work with": _means(),
    }
    return laid_out(page, sections)


def _doors() -> list[Panel]:
    outside = 'route!~"/internal/.*|/health/.*"'
    failed = 'iops_requests_total{status=~"5.."}'
    return [
        graph(
            "Requests a second, by answer",
            RequestsPerSecond,
            {"{{service}} {{status}}": _rate("iops_requests_total", "service, status")},
        ),
        graph(
            "Share that failed on our side",
            PercentUnit,
            {"{{service}}": f"{_rate(failed, 'service')} / {_rate('iops_requests_total', 'service')}"},
        ),
        graph(
            "Seconds to answer, median",
            Seconds,
            {"{{service}}": _quantile(0.5, f"iops_request_seconds_bucket{{{outside}}}", "service")},
        ),
        graph(
            "Seconds to answer, 99th percentile",
            Seconds,
            {"{{service}}": _quantile(0.99, f"iops_request_seconds_bucket{{{outside}}}", "service")},
        ),
    ]


def _ingest() -> list[Panel]:
    stored = {
        "samples": _rate("iops_samples_stored_total"),
        "rows": _rate("iops_rows_stored_total"),
        "given up: {{reason}}": _rate("iops_store_failures_total", "reason"),
    }
    left_out = {
        "{{door}} {{reason}}": _rate("iops_door_dropped_total", "door, reason"),
        "no sample: {{reason}}": _rate("iops_counter_lapses_total", "reason"),
    }
    asked = {
        "sent": _rate("iops_scoring_requests_total"),
        "had to wait": _rate("iops_scoring_request_failures_total"),
    }
    return [
        graph("Stored a second", CountsPerSecond, stored),
        graph("Samples waiting for the table", Short, {"waiting": "sum(iops_waiting_samples)"}),
        graph("Left out at the other doors a second", CountsPerSecond, left_out),
        graph("Scoring messages a second", CountsPerSecond, asked),
    ]


def _scoring() -> list[Panel]:
    scored = {
        "{{scorer}}": _rate("iops_streams_scored_total", "scorer"),
        "the model broke": _rate("iops_model_failures_total"),
    }
    seconds = {
        "median": _quantile(0.5, "iops_group_scoring_seconds_bucket"),
        "99th percentile": _quantile(0.99, "iops_group_scoring_seconds_bucket"),
    }
    scorers = f"{_rate('iops_scorer_fallbacks_total', 'reason')} / scalar({_rate('iops_streams_scored_total')})"
    return [
        graph("Streams scored a second", CountsPerSecond, scored),
        graph("Seconds to score a peer group", Seconds, seconds),
        graph("Share that another scorer had to score", PercentUnit, {"{{reason}}": scorers}),
        graph(
            "Findings written a minute",
            CountsPerMinute,
            {"{{worth}}": _a_minute("iops_findings_written_total", "worth")},
        ),
        graph(
            "Scoring messages a minute, by what became of them",
            CountsPerMinute,
            {"{{outcome}}": _a_minute("iops_scoring_messages_total", "outcome")},
        ),
        graph("Features that drift most", Number, {"{{feature}}": "topk(5, max by (feature) (iops_feature_drift))"}),
    ]


def _explaining() -> list[Panel]:
    by_answer = '{reason=~"answered|fallback"}'
    fell_back = _rate('iops_explanations_total{reason="fallback"}')
    money = {"spent or reserved": "max(iops_llm_today_usd)", "budget": 'max(iops_flag{flag="llm_daily_usd"})'}
    return [
        graph(
            "Calls of models a minute",
            CountsPerMinute,
            {"{{provider}} {{outcome}}": _a_minute("iops_explainer_calls_total", "provider, outcome")},
        ),
        graph(
            "Seconds of a call, 99th percentile",
            Seconds,
            {"{{provider}}": _quantile(0.99, "iops_explainer_call_seconds_bucket", "provider")},
        ),
        graph(
            "Share that the template had to explain",
            PercentUnit,
            {"template": f"{fell_back} / {_rate(f'iops_explanations_total{by_answer}')}"},
        ),
        graph(
            "Breakers that are not closed",
            Number,
            {"{{provider}} {{state}}": 'max by (provider, state) (iops_explainer_breaker_state{state!="closed"})'},
        ),
        graph("Money for models since midnight UTC", Dollars, money),
        graph(
            "Calls that the budget did not allow a minute",
            CountsPerMinute,
            {"{{reason}}": _a_minute("iops_llm_budget_refusals_total", "reason")},
        ),
    ]


def _alerts() -> list[Panel]:
    outbox = {
        "oldest row": "max(iops_outbox_oldest_seconds)",
        "when taken, 99th percentile": _quantile(0.99, "iops_outbox_age_seconds_bucket"),
    }
    delivered = {
        "{{target}} {{outcome}}": _a_minute("iops_deliveries_total", "target, outcome"),
        "webhook {{target}} {{outcome}}": _a_minute("iops_webhook_posts_total", "target, outcome"),
    }
    return [
        graph("Age of insights that nobody took", Seconds, outbox),
        graph("Events delivered a minute", CountsPerMinute, delivered),
        graph(
            "Age of an event when it was accepted, 99th percentile",
            Seconds,
            {"{{target}}": _quantile(0.99, "iops_delivery_age_seconds_bucket", "target")},
        ),
        graph("Dead letters", Short, {"{{queue}}": "max by (queue) (iops_dead_letters)"}),
        graph("Since a canary last came back", Seconds, {"canary": "min(iops_canary_age_seconds)"}),
        graph("Agents that are silent", Short, {"hosts": "max(iops_silent_hosts)"}),
    ]


def _means() -> list[Panel]:
    unread = {
        "secret {{secret}}: {{reason}}": _a_minute("iops_secrets_unread_total", "secret, reason"),
        "flags: {{reason}}": _a_minute("iops_flags_unread_total", "reason"),
    }
    return [
        graph(
            "Age of secrets", Seconds, {"{{service}} {{secret}}": "max by (service, secret) (iops_secret_age_seconds)"}
        ),
        graph("Turns that kept old secrets or flags a minute", CountsPerMinute, unread),
        graph("Streams whose window is in memory", Short, {"streams": "sum(iops_windows)"}),
        graph("Hours that waited to be rolled up", Hours, {"hours": "max(iops_rollup_lag_hours)"}),
    ]


def _rate(counter: str, labels: str = "") -> str:
    """A second, all replicas together."""
    by = f" by ({labels})" if labels else ""
    return f"sum{by} (rate({counter}[$__rate_interval]))"


def _a_minute(counter: str, labels: str) -> str:
    return f"60 * {_rate(counter, labels)}"


def _quantile(share: float, buckets: str, labels: str = "") -> str:
    return f"histogram_quantile({share}, {_rate(buckets, f'{labels}, le' if labels else 'le')})"
