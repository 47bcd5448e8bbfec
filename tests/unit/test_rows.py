"""What is taken of labelled hosts to fit on, and what each minute weighs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from iops.features import NAMES
from iops.insight import PredictionType
from iops.minutes import SERIES
from iops.risk import KINDS
from ml.hosts import IGNORED, UNKNOWN, Host
from ml.rows import join, recorded_rows, reviewed_rows, simulated_rows, weights
from ml.windows import SCHEMA


def labels(*parts: tuple[int, int]) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """(label, minutes) one after the other."""
    return np.concatenate([np.full(minutes, label, np.int8) for label, minutes in parts])


def a_host(incident: np.ndarray[tuple[int], np.dtype[np.int8]]) -> Host:
    shape = (len(incident), 1)
    return Host(
        "h",
        ("d",),
        np.arange(len(incident)),
        np.zeros((*shape, len(SERIES)), np.float32),
        incident=incident[:, np.newaxis],
        kind=np.zeros(shape, np.int8),
        severity=np.full(shape, np.nan, np.float32),
    )


def no_features(host: Host) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    return np.zeros((len(host.minute), 1, len(NAMES)), np.float32)


def test_the_minutes_beside_an_event_weigh_nothing_and_the_next_ones_do() -> None:
    weight = weights(labels((0, 20), (1, 10), (0, 20)))
    assert (weight == 0).nonzero()[0].tolist() == [15, 16, 17, 18, 19, 30, 31, 32, 33, 34]
    assert weight[14] == weight[35] == 1


def test_a_long_event_weighs_as_the_fourth_root_of_its_length() -> None:
    weight = weights(labels((0, 20), (1, 1), (0, 20), (1, 16), (0, 20)))
    assert weight[41:57].sum() == pytest.approx(2 * weight[20])


def test_the_events_of_ten_share_a_twentieth_of_their_disk() -> None:
    events = labels(*[(1, 2), (0, 98)] * 10)
    assert weights(events)[events == 1].sum() == pytest.approx(50)  # of 1,000 minutes
    few = labels((1, 2), (0, 998))
    assert weights(few)[few == 1].sum() == pytest.approx(50 * 0.1**0.5)


def test_unlabelled_and_ignored_minutes_weigh_nothing_and_a_disk_without_events_all_alike() -> None:
    assert weights(labels((UNKNOWN, 2), (0, 2), (IGNORED, 2))).tolist() == [0, 0, 1, 1, 0, 0]


def test_a_shoulder_does_not_reach_into_the_next_event() -> None:
    weight = weights(labels((1, 3), (0, 2), (1, 3), (0, 20)))
    assert (weight[:8] > 0).tolist() == [True, True, True, False, False, True, True, True]


def test_every_third_ordinary_minute_stands_for_three_and_every_event_minute_for_itself() -> None:
    host = a_host(labels((0, 30), (1, 4), (0, 30)))
    rows = recorded_rows(host, no_features(host))
    assert rows.incident.sum() == 4
    assert set(rows.weight[~rows.incident].tolist()) == {3.0}
    assert len(rows) == 4 + 9 + 9  # minutes 0, 3, .. 24 and 39, 42, .. 63
    assert rows.host.tolist() == ["h"] * len(rows)


def test_a_kind_is_of_incidents_only() -> None:
    host = a_host(labels((0, 30), (1, 4), (0, 30)))
    rows = recorded_rows(host, no_features(host))
    assert set(rows.kind[rows.incident].tolist()) == {0}
    assert set(rows.kind[~rows.incident].tolist()) == {UNKNOWN}


def test_verdicts_of_operators_weigh_alike_whichever_way_they_went() -> None:
    host = a_host(labels((UNKNOWN, 50), (1, 16), (UNKNOWN, 5), (0, 16)))
    rows = reviewed_rows(host, no_features(host))
    assert rows.incident.tolist() == [True] * 16 + [False] * 16
    assert rows.weight.tolist() == [0.125] * 32


def test_windows_are_rows_and_what_they_do_not_know_stays_unknown() -> None:
    features = {name: [1.0, None] for name in NAMES}
    columns = {"host": ["a", "b"], "disk": ["d", "d"], "minute": [1, 2], "incident": [1, 0], "kind": ["stall", None]}
    table = pa.table({**columns, "event": ["x", "y"], "severity": [0.5, 0.0], **features}, schema=SCHEMA)
    rows = simulated_rows(table)
    assert rows.incident.tolist() == [True, False]
    assert rows.kind.tolist() == [KINDS.index(PredictionType.STALL), UNKNOWN]
    assert np.isnan(rows.features[1]).all()
    assert rows.weight.tolist() == [1, 1]
    assert join([rows, rows]).host.tolist() == ["a", "b", "a", "b"]
