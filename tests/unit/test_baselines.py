"""What a model has to beat."""

from __future__ import annotations

import numpy as np

from iops.features import NAMES
from iops.minutes import AWAIT, CHANNELS, SERIES
from ml.baselines import kmeans, latency, p10_ratio, robust_z, static_alarm
from ml.hosts import Host

NO_FEATURES = np.empty((0, 0, len(NAMES)), np.float32)


def a_host(values: np.ndarray) -> Host:
    """One disk of which every channel shows the same."""
    series = np.repeat(values.astype(np.float32)[:, np.newaxis, np.newaxis], len(SERIES), axis=2)
    zeros = np.zeros((len(values), 1), np.int8)
    return Host("h", ("d",), np.arange(len(values)), series, zeros, kind=zeros, severity=zeros.astype(np.float32))


def features(**told: float) -> np.ndarray:
    row = np.zeros((1, 1, len(NAMES)), np.float32)
    for name, value in told.items():
        row[..., NAMES.index(name)] = value
    return row


def noise(minutes: int = 720) -> np.ndarray:
    return np.random.default_rng(0).normal(10, 1, minutes)


def test_robust_z_is_the_mean_of_all_channels_either_way_up() -> None:
    assert robust_z(a_host(noise()), features(z_queue_depth=4, z_await_ms=-4)).tolist() == [[1.0]]


def test_a_static_alarm_is_set_in_the_first_week_and_never_again() -> None:
    values = np.full(8 * 1440, 10.0)
    values[-1] = 25
    score = static_alarm(a_host(values), NO_FEATURES)[:, 0]
    assert (score[0], score[-1]) == (1.0, 2.5)


def test_kmeans_says_nothing_before_it_was_trained() -> None:
    assert kmeans(a_host(noise()), NO_FEATURES)[:360].max() == 0


def test_kmeans_finds_a_jump_in_the_minute_it_happens() -> None:
    values = noise()
    values[600:] += 50
    score = kmeans(a_host(values), NO_FEATURES)[:, 0]
    assert score[600] == 0.2  # the first of five minutes in which all channels are odd
    assert score[604] == 1.0
    assert score[360:600].mean() < 0.1


def test_kmeans_sees_only_the_past() -> None:
    values = noise()
    changed = np.concatenate([values[:500], values[500:] * 3])
    before, after = (kmeans(a_host(of), NO_FEATURES)[:500] for of in (values, changed))
    assert (before == after).all()


def test_peers_are_asked_by_their_features_and_latency_by_itself() -> None:
    host = a_host(np.full(1, 7.0))
    assert p10_ratio(host, features(peer_ratio_p10=0.5)).tolist() == [[0.5]]
    assert latency(host, NO_FEATURES).tolist() == [[7.0]]
    assert CHANNELS[AWAIT] == "await_ms"
