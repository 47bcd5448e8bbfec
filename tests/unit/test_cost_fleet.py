"""What a fleet is taken to write, read and ask, held to what the code does."""

from datetime import UTC, datetime, timedelta

import pytest

from bench.cost import measure_density
from cli.cost import traffic
from cli.cost.fleet import Fleet, Profile, chunk_units, chunk_writes, reads, row_writes, stored_gb
from cli.cost.prices import read_prices
from iops.telemetry import Window, window_from_samples
from ml.simulate import Fleet as Simulated
from ml.simulate import samples

AT = datetime(2026, 11, 20, tzinfo=UTC)
TASKS = {"ingest": 1.0, "insights": 1.0, "alerts": 1.0}


def windows(*, interval_s: float = 10.0) -> list[Window]:
    streams = Simulated(seed=7, hosts=1, disks_per_host=4).streams
    end_at = AT + timedelta(hours=4)
    taken = (samples(each, start_at=AT, end_at=end_at, interval_s=interval_s) for each in streams)
    return [window_from_samples(tuple(each)) for each in taken]


@pytest.mark.parametrize("batch", [1, 6, 30, 60, 120])
def test_a_chunk_is_taken_to_cost_what_the_codec_makes_of_it(batch: int) -> None:
    density = measure_density(windows(), chunk_samples=batch)

    measured = density.write_units / density.samples * batch
    assert measured <= chunk_units(batch) <= measured + 1


def test_samples_of_200_streams_cost_about_a_dollar_a_month() -> None:
    # 1,752,000 chunks of 30, 146,000 that cross an hour, 7,300 early ones: 122 episodes of 10 minutes
    assert chunk_writes(Fleet()).amount == pytest.approx(1.9053, abs=0.0001)


def test_one_sample_a_request_costs_thirty_times_as_much_and_crosses_no_hour() -> None:
    assert chunk_writes(Fleet(batch_samples=1)).amount == pytest.approx(52.56 + 0.0073, abs=0.001)


def test_everything_else_that_is_written_is_thirteen_units_a_stream_and_hour() -> None:
    quiet = 200 * 730 * 13 / 1e6  # two replicas of ingest write four more

    rest = 50 * 730 * 2 / 1e6 + 122 * 106 / 1e6  # keys, and what 122 episodes make people be told
    pulse = 730 * 60 * 2 / 1e6  # of one task

    alone, beside = (row_writes(Fleet(), ingest_tasks=count, all_tasks=2 + count).amount for count in (1, 2))

    assert alone == pytest.approx(quiet + rest + 3 * pulse, abs=0.001)
    assert beside == pytest.approx(quiet * 17 / 13 + rest + 4 * pulse, abs=0.001)


def test_more_happens_to_a_noisy_fleet() -> None:
    calls = [traffic.model_calls(Fleet(profile=profile)).amount for profile in Profile]

    assert calls == pytest.approx([147.7, 738.7, 3693.5], abs=0.1)


def test_no_group_is_scored_more_often_than_every_ten_seconds() -> None:
    assert Fleet(interval_s=1, batch_samples=1).messages == 50 * 262_800


def test_reads_and_storage_grow_with_the_fleet() -> None:
    small, large = Fleet(), Fleet(streams=2_000)

    assert (
        reads(large, insights_tasks=1, alerts_tasks=1).amount
        > 5 * reads(small, insights_tasks=1, alerts_tasks=1).amount
    )
    assert stored_gb(large).amount == pytest.approx(10 * stored_gb(small).amount)


def test_secrets_are_read_once_a_minute_by_whoever_has_them() -> None:
    assert traffic.secret_reads(TASKS).amount == pytest.approx(0.219)


def test_every_price_has_a_unit_and_a_page() -> None:
    prices = read_prices()

    assert "public price list, us-east-1" in prices.source
    assert all(price.usd > 0 and price.unit and price.page.startswith("https://") for price in prices.prices.values())


def test_logs_are_scorings_a_hundredth_of_the_requests_and_figures_but_no_health_checks() -> None:
    # (445,300 scorings + 4,453 requests) x 300 B, and 3 tasks x 43,800 minutes x 500 B
    assert traffic.log_gb(Fleet(), TASKS).amount == pytest.approx(0.1349 + 0.0657, abs=0.0001)
