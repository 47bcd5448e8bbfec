"""Figures for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.scenario import HARD_KINDS
from iops.baseline import quantile

if TYPE_CHECKING:
    from bench.e2e import Result


def figures(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """Count, median, 99th percentile and maximum.

    >>> figures([0.4, 0.5, 0.6])["p50_s"]
    0.5
    """
    ordered = sorted(seconds)
    if not ordered:
        return {"count": 0, "p50_s": None, "p99_s": None, "max_s": None}
    p50_s, p99_s = (round(quantile(ordered, share), 3) for share in (0.5, 0.99))
    return {"count": len(ordered), "p50_s": p50_s, "p99_s": p99_s, "max_s": round(ordered[-1], 3)}


def print_report(result: Result, machine: Mapping[str, str | int | None], *, as_json: bool) -> None:
    """The result on standard output."""
    rows: dict[str, dict[str, Any]] = {kind: figures(seconds) for kind, seconds in sorted(result.seconds.items())}
    hard = [second for kind, seconds in result.seconds.items() if kind in HARD_KINDS for second in seconds]
    rest = [second for kind, seconds in result.seconds.items() if kind not in HARD_KINDS for second in seconds]
    groups = {"hard rules": figures(hard), "the rest": figures(rest)}
    overall = figures([second for seconds in result.seconds.values() for second in seconds])
    if as_json:
        counts = {"faults": result.faults, "lost": result.lost, "unexpected": result.unexpected}
        parts = {"hard_rules": groups["hard rules"], "rest": groups["the rest"]}
        told = {"bench": "e2e", **counts, "post_to_mail": overall, **parts, "kinds": rows, "machine": dict(machine)}
        print(json.dumps(told))
        return
    print("From POST to mail, seconds")
    print(f"{'':12} {'mails':>6} {'p50':>7} {'p99':>7} {'max':>7}")
    for name, row in {**rows, **groups, "all": overall}.items():
        cells = ("-" if row[key] is None else f"{row[key]:.3f}" for key in ("p50_s", "p99_s", "max_s"))
        print(f"{name:12} {row['count']:6} " + " ".join(f"{cell:>7}" for cell in cells))
    print(f"{result.lost} of {result.faults} faults lost, {result.unexpected} unexpected mails")
    print(", ".join(f"{name} {value}" for name, value in machine.items()))


def print_figures(figures: Mapping[str, Any], *, as_json: bool) -> None:
    """Named figures on standard output, each a line."""
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in _flat(figures):
        print(f"{name:45} {value:,}" if isinstance(value, int) else f"{name:45} {value}")


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
