"""Queries over a handful of samples, with answers one can do in the head. Prometheus itself: test_promql_oracle.py."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iops.errors import InvalidQuery, IopsError, QueryRefused
from services.insights.prometheus.evaluate import evaluate
from services.insights.prometheus.lex import UNIT_MS
from services.insights.prometheus.matrix import Matrix, Series
from services.insights.prometheus.parse import PARTS_LIMIT, QUERY_LIMIT, parse, parse_selector
from services.insights.prometheus.query import AGGREGATIONS, OVER_TIME
from tests.unit.builders import examples

MINUTE_MS: Final = 60_000
NAN: Final = math.nan


def a_series(*values: float, every_ms: int = MINUTE_MS, **labels: str) -> Series:
    """A sample a minute from 0 on; NaN where there is none."""
    at_ms, known = np.arange(len(values)) * every_ms, ~np.isnan(values)
    return Series({"__name__": "x", **labels}, at_ms[known], np.array(values)[known])


def ask(query: str, *series: Series, at_ms: int | list[int]) -> dict[str, Any]:
    """The values by the disk of each series; of one instant each its number."""
    instants = [at_ms] if isinstance(at_ms, int) else at_ms
    found = evaluate(parse(query), series, np.array(instants))
    assert isinstance(found, Matrix)
    names = [labels.get("disk", "") for labels in found.labels]
    return dict(
        zip(names, found.values[:, 0].tolist() if isinstance(at_ms, int) else found.values.tolist(), strict=True)
    )


def scalar(query: str) -> float:
    found = evaluate(parse(query), [], np.array([0]))
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("2 ^ 3 ^ 2", 512), ("-2 ^ 2", -4), ("7 % 4", 3), ("-7 % 4", -3),
        ("1 - 1 - 1", -1), ("1 > bool 2", 0), ("3 >= bool 3", 1), ("0x10", 16), ("1 / 0", math.inf), ("-1e-3", -0.001),
        ("1 # said twice", 1), (" \n 4 ", 4), (".5", 0.5), ("1 == bool 1 + 0", 1),
    ],
)  # fmt: skip
def test_numbers_are_computed_as_everywhere(query: str, value: float) -> None:
    assert scalar(query) == value


def test_the_newest_sample_of_five_minutes_counts() -> None:
    series = a_series(1, 2, 3)

    assert ask("x", series, at_ms=[0, 90_000, 120_000, 420_000, 420_001]) == {
        "": pytest.approx([1, 2, 3, 3, NAN], nan_ok=True)
    }
    assert ask("x offset 1m", series, at_ms=120_000) == {"": 2}
    assert ask("x offset -1m", series, at_ms=60_000) == {"": 3}
    assert ask("x", series, at_ms=-1) == {}


def test_a_null_is_no_sample_and_never_zero() -> None:
    series = a_series(4, NAN, 6)

    assert ask("x", series, at_ms=60_000) == {"": 4}
    assert ask("avg_over_time(x[2m])", series, at_ms=120_000) == {"": 5}
    assert ask("count_over_time(x[2m])", series, at_ms=120_000) == {"": 2}


@pytest.mark.parametrize(
    ("function", "value"), [("avg", 4), ("min", 1), ("max", 9), ("sum", 12), ("count", 3), ("last", 2)]
)
def test_a_range_is_one_number(function: str, value: float) -> None:
    assert ask(f"{function}_over_time(x[2m])", a_series(100, 1, 9, 2), at_ms=180_000) == {"": value}


def test_a_rate_is_per_second_and_a_fall_is_a_new_beginning() -> None:
    assert ask("rate(x[2m])", a_series(0, 60, 120), at_ms=120_000) == {"": 1}
    # 100, then from 0 to 20: 20 more in 60 s. No half interval before it, because it cannot have been below 0.
    assert ask("rate(x[1m])", a_series(100, 20), at_ms=60_000) == {"": pytest.approx(20 / 60)}
    assert ask("rate(x[2m])", a_series(5), at_ms=60_000) == {}, "one sample is no rate"


def test_groups_are_made_of_labels() -> None:
    disks = [a_series(1, disk="a", host="h1"), a_series(2, disk="b", host="h1"), a_series(4, disk="c", host="h2")]

    def by_host(query: str) -> dict[str, float]:
        found = evaluate(parse(query), disks, np.array([0]))
        assert isinstance(found, Matrix)
        return {labels.get("host", ""): value for labels, (value,) in zip(found.labels, found.values, strict=True)}

    assert by_host("sum by (host) (x)") == by_host("sum(x) without (disk)") == {"h1": 3, "h2": 4}
    assert by_host("sum(x)") == {"": 7}
    assert by_host("avg by (host) (x)") == {"h1": 1.5, "h2": 4}
    assert by_host("count by (host) (x > 1)") == {"h1": 1, "h2": 1}
    assert by_host("quantile(0.5, x)") == {"": 2}
    assert by_host("max by (nothing) (x)") == {"": 4}


def test_the_best_are_chosen_at_each_instant() -> None:
    disks = [a_series(1, 9, disk="a"), a_series(5, 5, disk="b"), a_series(3, NAN, disk="c")]

    assert list(ask("topk(2, x)", *disks, at_ms=0)) == ["b", "c"]
    assert list(ask("bottomk(2, x)", *disks, at_ms=0)) == ["a", "c"]
    assert ask("topk(1, x)", *disks, at_ms=[0, 60_000]) == {
        "b": pytest.approx([5, NAN], nan_ok=True),
        "a": pytest.approx([NAN, 9], nan_ok=True),
    }
    assert ask("topk(0, x)", *disks, at_ms=0) == {}


def test_a_comparison_leaves_out_and_bool_says() -> None:
    disks = [a_series(79, disk="a"), a_series(81, disk="b")]

    assert ask("x > 80", *disks, at_ms=0) == ask("80 < x", *disks, at_ms=0) == {"b": 81}
    assert ask("x > bool 80", *disks, at_ms=0) == {"a": 0, "b": 1}
    assert ask("x * 1000 - 1", *disks, at_ms=0) == {"a": 78_999, "b": 80_999}
    assert ask("x ^ 0", *disks, at_ms=400_000) == {}, "what is absent stays so, though NaN ^ 0 is 1"


def test_a_number_that_was_computed_has_no_name() -> None:
    def names(query: str) -> list[str | None]:
        found = evaluate(parse(query), [a_series(1)], np.array([0]))
        assert isinstance(found, Matrix)
        return [labels.get("__name__") for labels in found.labels]

    assert names("x") == names("x > 0") == names("topk(1, x)") == names("last_over_time(x[5m])") == ["x"]
    assert (
        names("x + 0")
        == names("-x")
        == names("x > bool 0")
        == names("avg_over_time(x[5m])")
        == names("sum(x)")
        == [None]
    )
    twins = [a_series(1, disk="a"), Series({"__name__": "y", "disk": "a"}, np.array([0]), np.array([1.0]))]
    with pytest.raises(QueryRefused, match="two series are the same"):
        ask('{__name__=~"x|y"} * 2', *twins, at_ms=0)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("x + y", "between two vectors"), ("x and y", "`and`"), ("x unless y", "`unless`"), ("x or y", "`or`"),
        ("x * on (host) y", "`on`"), ("x @ 5", "`@`"), ("x[5m:1m]", "subquery"), ("x[5m]", "argument only"),
        ("histogram_quantile(0.9, x)", "the function histogram_quantile"), ("time()", "the function time"),
        ("stddev(x)", "there are avg, bottomk"), ('"text"', "no value here"), ("count_values('a', x)", "count_values"),
        ("x[5m] + 1", "cannot take a range"), ("-(x[5m])", "argument only"), ("sum(x[5m])", "argument only"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_named_with_what_there_is_instead(query: str, what: str) -> None:
    with pytest.raises(QueryRefused, match=f".*{what}"):
        parse(query)


@pytest.mark.parametrize(
    "query",
    [
        "", "x{", "sum(", "x[5m", "rate(x)", "1 == 2", "x{a=b}", "{}", '{a=~".*"}', "x +", "x offset", "x[0s]",
        "topk(x)", 'x{a=~"("}', 'x{a=~"(?=b)"}', "1 + bool 2", "quantile(x, y)", "5 5", "€", 'x{a="\\q"}',
        'x{__name__="y"}', "x)", "sum(1)", "topk(NaN, x)", "x[99999999999999w]", 'x{a="\\U99999999"}', "'a", "1h",
        "x[5]", "rate(x[5m]) offset 5m", "x offset 999999999999y", "x offset -300y", "rate(x[300y])",
    ],
)  # fmt: skip
def test_what_is_no_promql_is_told_by_its_place(query: str) -> None:
    with pytest.raises(InvalidQuery, match=r"^query: "):
        parse(query)


def test_a_selector_is_fully_matched_whatever_its_pattern() -> None:
    (name, tier) = parse_selector('x{tier=~"gp|io2"}')

    assert [value for value in ("io2", "gp", "gp3", "xio2", "") if tier.fits(value)] == ["io2", "gp"]
    assert name.fits("x")
    (slow,) = parse_selector('{a=~"(a+)+(a+)+(a|aa)+$"}')
    assert not slow.fits("a" * 200 + "b")
    with pytest.raises(InvalidQuery, match=r"match\[\]"):
        parse_selector("sum(x)")


@pytest.mark.parametrize(
    "query",
    [
        "(" * 5_000, "-" * 5_000 + "x", "+".join(["1"] * 5_000), "sum(" * 2_000 + "x", "x" + "[5m]" * 2_000,
        "x{" * 3_000, "2 ^ " * 2_000 + "2", "topk(1," * 1_000 + "x" + ")" * 1_000, '{a=~"' + "(" * 4_000 + '"}',
        "x" * 1_000_000, '{a=~"' + "(x{1000}){1000}" * 9 + '"}', "x > " * 2_000 + "1", "\\" * 9_000, '"' * 9_999,
        "0x" + "f" * 9_000,
    ],
)  # fmt: skip
def test_a_hostile_query_is_refused_and_breaks_nothing(query: str) -> None:
    with pytest.raises((InvalidQuery, QueryRefused)):
        parse(query)


def test_as_much_as_is_allowed_is_read() -> None:
    assert scalar("+".join(["1"] * (PARTS_LIMIT - 1))) == PARTS_LIMIT - 1
    names = "|".join(f"web-{number}:nvme0n1" for number in range(500))
    assert QUERY_LIMIT * 0.75 < len(names) < QUERY_LIMIT
    assert parse_selector(f'x{{stream=~"{names}"}}')[1].fits("web-499:nvme0n1")


WORDS: Final = st.sampled_from(
    [
        *OVER_TIME, *AGGREGATIONS, *UNIT_MS, "(", ")", "{", "}", "[", "]", "x", "y:z", "=", "=~", "!~", "==", "bool",
        "by", "without", "offset", "5m", "1h30m", ",", "0.5", "1e9", "-", "^", "%", "and", "on", "@", "'a'", '"(a"',
        "`", "\\", "#", "inf", "\n", "é", "\0", "5", "0x", ".",
    ]
)  # fmt: skip


@settings(max_examples=examples(800))
@given(st.lists(WORDS, max_size=30).map(" ".join) | st.lists(WORDS, max_size=12).map("".join) | st.text(max_size=50))
def test_whatever_is_asked_is_read_or_refused(query: str) -> None:
    try:
        expression = parse(query)
    except IopsError as error:
        assert error.status in (400, 422)  # noqa: PT017 - most are refused, few are read
        return
    with suppress(QueryRefused):
        evaluate(expression, [a_series(1, 2, 3), a_series(3, 2, 1, disk="a")], np.array([0, 60_000, 600_000]))
