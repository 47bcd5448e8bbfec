"""Whatever a sender makes up, its peer group is still judged."""

import json
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from iops import chunk
from iops.baseline import make_baseline
from iops.evidence import Subject
from iops.rules import judge_group
from iops.telemetry import Window, merge_windows, window_from_samples
from tests.unit.builders import AT, AT_MS, a_sample, a_window

numbers = st.one_of(st.just(0.0), st.floats(0, 1e8), st.floats(0, 1e-3))
awaits = st.one_of(st.none(), st.floats(0.001, 3_600_000))


@st.composite
def hostile_windows(draw: st.DrawFn) -> Window:
    """Whatever the door lets in, after it was stored and read again."""
    samples = [
        a_sample(
            at=AT - timedelta(seconds=gap_s), interval_s=draw(st.sampled_from([0.001, 1.0, 3_600.0])),
            read_iops=draw(numbers), write_iops=draw(numbers), read_await_ms=draw(awaits), write_await_ms=draw(awaits),
            read_bytes_s=draw(numbers), queue_depth=draw(st.floats(0, 1e6)), in_flight=draw(st.integers(0, 10**6)),
            utilization_ratio=draw(st.floats(0, 1)), io_errors=draw(st.sampled_from([None, 0, 10**9])),
        )
        for gap_s in draw(st.sets(st.integers(0, 5_000), min_size=1, max_size=6))
    ]  # fmt: skip
    return chunk.decode(chunk.encode(window_from_samples(samples)), key="k")


@settings(max_examples=30)
@given(st.lists(hostile_windows(), min_size=1, max_size=4), st.sampled_from([None, 1.0, 1e8]))
def test_whatever_a_sender_makes_up_the_group_is_still_judged(windows: list[Window], limit: float | None) -> None:
    subjects = {}
    for number, window in enumerate([*windows, a_window()]):
        baseline = make_baseline(merge_windows(windows), made_at_ms=AT_MS)
        assert baseline is not None
        known = replace(baseline, from_ms=0)  # so that its own history speaks
        subjects[f"web-1:sd{number}"] = Subject(window, known, provisioned_iops=limit)

    for finding in judge_group(subjects).values():
        json.dumps(finding.model_dump(mode="json"), allow_nan=False)
