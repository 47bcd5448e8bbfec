"""What waits, in numbers and words, and from when on it is too much."""

from typing import Any

import pytest

from services.insights.queues import QueueView, largest, rate_per_s, view_queues
from tests.unit.builders import a_pulse


def seen(**pulses: Any) -> dict[str, QueueView]:
    return {view.name: view for view in view_queues({service: [pulse] for service, pulse in pulses.items()})}


@pytest.mark.parametrize(
    ("service", "fields", "name", "says", "section"),
    [
        ("ingest", {"levels": {"waiting_samples": 60_000}}, "Samples ahead of the table",
         "60,000 samples. The table is slow, or the load too high", "balancer-errors"),
        ("ingest", {"counts": {"refused": 26}}, "Requests refused",
         "26 requests. Senders are asked to come again", "balancer-errors"),
        ("insights", {"levels": {"scoring_wait_s": 240}}, "Groups to score",
         "4 min. What is wrong with disks is found late", "scoring-age"),
        ("insights", {"counts": {"put_off": 11}}, "Scorings put off",
         "11 messages. Some groups are scored late", "scoring-dead-letters"),
        ("alerts", {"levels": {"outbox_age_s": 121}}, "Insights to take up",
         "2 min. Nobody is told of anything new", "outbox-age"),
        ("alerts", {"levels": {"canary_age_s": 97_200}}, "Since the last canary",
         "27 h. The way to people may be cut", "canary-missing"),
        ("alerts", {"by_name": {"dead_letters": {"rule": 1}}}, "Dead letters of rule",
         "1 letters. Somebody was not told", "rule-dead-letters"),
        ("alerts", {"by_name": {"delivery_wait_s": {"pager": 601}}}, "Deliveries to pager",
         "10 min. It is tried again every 15 min at least", "Deliveries that wait"),
        ("ingest", {"levels": {"secret_age_s": 301}}, "Since secrets were read",
         "5 min. A rotated key would not be known", "secret-age"),
    ],
)  # fmt: skip
def test_what_waits_too_long_is_a_trouble(service: str, fields: Any, name: str, says: str, section: str) -> None:
    trouble = seen(**{service: a_pulse(service, **fields)})[name].trouble

    assert trouble is not None
    assert (trouble.says, trouble.section) == (f"{name}: {says}", section)


def test_at_the_usual_load_nothing_is() -> None:
    queues = seen(
        ingest=a_pulse(counts={"refused": 3}, levels={"waiting_samples": 40, "secret_age_s": 59}),
        insights=a_pulse("insights", counts={"put_off": 0}, levels={"scoring_wait_s": 12}),
        alerts=a_pulse(
            "alerts",
            levels={"outbox_age_s": 0.4, "canary_age_s": 80_000},
            by_name={"dead_letters": {"rule": 0, "scoring": 0}, "delivery_wait_s": {"bus": 0}},
        ),
    )

    assert [name for name, queue in queues.items() if queue.trouble] == []
    assert queues["Groups to score"].value == 12


def test_what_no_replica_says_is_not_known_and_no_trouble() -> None:
    assert {queue.value for queue in view_queues({})} == {None}


def test_the_outbox_is_as_old_as_the_replica_that_takes_from_it_says() -> None:
    alerts = [a_pulse("alerts", replica=name, levels={"outbox_age_s": age_s}) for name, age_s in (("a", 500), ("b", 0))]

    (outbox,) = (queue for queue in view_queues({"alerts": alerts}) if queue.name == "Insights to take up")
    assert (outbox.value, outbox.trouble) == (0, None)


def test_rates_of_replicas_add_up_and_one_that_has_just_begun_says_nothing() -> None:
    long, short, new = (a_pulse(counted_s=s, counts={"samples": 300}) for s in (300, 30, 0))

    assert rate_per_s([long, short, new], "samples") == 11
    assert rate_per_s([new], "samples") is None


def test_of_each_name_the_largest_of_all_replicas_counts() -> None:
    one = a_pulse("insights", by_name={"drift": {"z_await_ms": 0.3, "p99_to_await": 0.1}})
    other = a_pulse("insights", by_name={"drift": {"z_await_ms": 0.2, "peer_ratio_p10": 0.4}})

    assert largest([one, other], "drift") == {"peer_ratio_p10": 0.4, "z_await_ms": 0.3, "p99_to_await": 0.1}
