"""Windows as `ml simulate` writes them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from iops.features import NAMES
from ml.episodes import BENIGN, EVENTS, KIND_OF
from ml.hosts import DAY, features_of
from ml.minutes import simulate_host
from ml.windows import FILE, features_at, simulate


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    simulate(str(folder / "one"), windows=640, seed=10)
    return folder


def test_a_third_of_the_windows_are_faults_and_every_event_is_there(written: Path) -> None:
    rows = pq.read_table(written / "one" / FILE).to_pydict()

    assert len(rows["host"]) == 640
    assert 0.3 < np.mean(rows["incident"]) < 0.35
    assert set(rows["event"]) >= {event.value for event in (*KIND_OF, *BENIGN)}
    for event, kind, incident in zip(rows["event"], rows["kind"], rows["incident"], strict=True):
        assert kind == {each.value: name.value for each, name in KIND_OF.items()}.get(event)
        assert incident == (kind is not None)


def test_the_same_seed_writes_the_same_bytes(written: Path) -> None:
    simulate(str(written / "two"), windows=640, seed=10)

    assert (written / "one" / FILE).read_bytes() == (written / "two" / FILE).read_bytes()


def test_columns_are_documented_and_features_are_null_where_unknown(written: Path) -> None:
    table = pq.read_table(written / "one" / FILE)

    assert table.schema.names[-25:] == list(NAMES)
    assert all(table.schema.field(name).metadata[b"description"] for name in table.schema.names)
    assert 0 < table["p99_to_await"].null_count < 640
    assert not any(np.isnan(table[name].drop_null().to_numpy()).any() for name in NAMES)


def test_features_of_some_minutes_are_those_of_all() -> None:
    simulated = simulate_host(seed=7, index=4, minutes=2 * DAY)
    rows = np.array([200, 1500, 1501, len(simulated.host.minute) - 1])

    np.testing.assert_allclose(
        features_at(simulated.host, rows), features_of(simulated.host)[rows], rtol=1e-3, atol=1e-3, equal_nan=True
    )


def test_hosts_of_a_long_run_have_every_event() -> None:
    seen: Counter[str] = Counter()
    for index in range(60):
        event = simulate_host(seed=3, index=index, minutes=2 * DAY).event
        seen.update(EVENTS[each].value for each in np.unique(event).tolist())

    assert set(seen) == {event.value for event in EVENTS}
