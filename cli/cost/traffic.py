"""What a fleet's requests cost beside the table: queues, logs, the balancer, the network, secrets, mails and tokens."""

from __future__ import annotations

from collections.abc import Mapping

from cli.cost import fleet as of
from cli.cost.fleet import GB, MILLION, Fleet
from cli.cost.line import Quantity
from cli.cost.prices import MONTH_S

MONTH_MINUTES = MONTH_S / 60
Tasks = Mapping[str, float]  # of each service


def queue_requests(fleet: Fleet, tasks: Tasks) -> Quantity:
    """Million requests to SQS."""
    messages = fleet.messages * of.MESSAGE_REQUESTS
    polls = tasks["insights"] * of.SCORING_WORKERS * MONTH_S / of.LONG_POLL_S
    alerts = tasks["alerts"] * of.ALERT_QUEUE_REQUESTS_PER_MINUTE * MONTH_MINUTES
    how = f"{fleet.messages:,.0f} messages x 3 + {polls:,.0f} long polls + {alerts:,.0f} of dead letters and canary"
    return Quantity((messages + polls + alerts) / MILLION, how)


def log_gb(fleet: Fleet, tasks: Tasks) -> Quantity:
    """What CloudWatch takes in. Health checks write no line while they are answered well."""
    all_tasks = sum(tasks.values())
    requests = fleet.requests * of.LOGGED_RATIO
    lines = (requests + fleet.messages) * of.LINE_BYTES / GB
    figures = all_tasks * MONTH_MINUTES * of.FIGURES_BYTES / GB
    how = (
        f"({requests:,.0f} requests + {fleet.messages:,.0f} scorings) x {of.LINE_BYTES} B + {figures:.2f} GB of figures"
    )
    return Quantity(lines + figures, how)


def lcus(fleet: Fleet) -> Quantity:
    """The balancer's units: the largest of its measures, on average."""
    per_s = fleet.requests / MONTH_S
    gb_per_h = per_s * 3600 * (of.REQUEST_BYTES + of.RESPONSE_BYTES) / GB
    parts = {
        "new connections / 25": per_s / 25,
        "open ones / 3,000": per_s * 60 / 3_000,  # each stays for its 60 s
        "GB an hour": gb_per_h,
    }
    most = max(parts, key=lambda name: parts[name])
    return Quantity(parts[most], f"{per_s:.2f} requests/s, {most}")


def egress_gb(fleet: Fleet) -> Quantity:
    """What is answered to agents."""
    return Quantity(fleet.requests * of.RESPONSE_BYTES / GB, f"{fleet.requests:,.0f} answers of {of.RESPONSE_BYTES} B")


def waf_requests(fleet: Fleet) -> Quantity:
    """Million requests that are looked at."""
    return Quantity(fleet.requests / MILLION, f"{fleet.requests:,.0f} requests")


def nat_gb(fleet: Fleet, tasks: Tasks) -> Quantity:
    """What goes through the gateway: all but DynamoDB and S3, which have endpoints of their own."""
    requests = queue_requests(fleet, tasks).amount * MILLION + secret_reads(tasks).amount * MILLION
    logs = log_gb(fleet, tasks).amount
    how = f"{requests:,.0f} requests to AWS of {of.NAT_BYTES_PER_REQUEST} B + {logs:.2f} GB of logs"
    return Quantity(requests * of.NAT_BYTES_PER_REQUEST / GB + logs, how)


def secret_reads(tasks: Tasks) -> Quantity:
    """Million calls to Secrets Manager: each task reads each of its documents once a minute."""
    per_minute = sum(count * of.SECRET_READS_PER_MINUTE.get(name, 0) for name, count in tasks.items())
    return Quantity(per_minute * MONTH_MINUTES / MILLION, f"{per_minute:g} documents read a minute")


def events(fleet: Fleet) -> Quantity:
    """Million events on the bus, which are as many mails to each address; and the canary's one a day."""
    alerts = fleet.episodes * of.PAGES_PER_EPISODE * of.EVENTS_PER_PAGE
    return Quantity((alerts + 30) / MILLION, f"{alerts:,.0f} of alerts + 30 canaries")


def model_calls(fleet: Fleet) -> Quantity:
    """Questions to the language model."""
    how = f"{fleet.episodes:,.0f} episodes x {of.QUESTIONS_PER_EPISODE:.2f}"
    return Quantity(fleet.episodes * of.QUESTIONS_PER_EPISODE, how)
