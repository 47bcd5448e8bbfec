"""One picture of a run of `bench ingest`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from bench.figures import per_second
from bench.ingest import Result
from bench.load import Tally

mpl.use("Agg")  # a file, no window

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def draw(result: Result, path: Path) -> None:
    """Latency over time on the left, CPU and rates on the right."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_latency(left, result)
    _draw_cpu(right, result.figures)
    figure.savefig(path, dpi=120)


def _draw_latency(axes: Axes, result: Result) -> None:
    begin_s = 0.0
    for tally, name in ((result.steady, "steady"), (result.burst, "burst")):
        rate = result.figures[name]["rate_rps"]
        _draw_percentiles(axes, tally, begin_s=begin_s, is_first=begin_s == 0)
        axes.axvspan(begin_s, begin_s + tally.elapsed_s, alpha=0.06 if name == "steady" else 0.14, lw=0)
        axes.text(begin_s, 0.98, f" {name}\n {rate:g}/s", va="top", transform=axes.get_xaxis_transform())
        begin_s += tally.elapsed_s
    axes.set(xlabel="s", ylabel="ms from the intended instant to the 202", yscale="log")
    axes.legend(loc="lower right")


def _draw_percentiles(axes: Axes, tally: Tally, *, begin_s: float, is_first: bool) -> None:
    for share, label, color in ((0.5, "p50", "C0"), (0.99, "p99", "C3")):
        seconds = per_second(tally, share)
        axes.plot(
            [begin_s + second for second in seconds],
            list(seconds.values()),
            color=color,
            label=label if is_first else None,
        )


def _draw_cpu(axes: Axes, figures: Mapping[str, Any]) -> None:
    cpu_us = figures["cpu_us"]
    bars = {
        f"bare POST\n{figures['ceiling_rps']:,}/s": cpu_us["ceiling_request"],
        f"1 sample\n{figures['single_rps']:,}/s": cpu_us["single_request"],
        f"60 samples\n{figures['rows_per_s']:,} rows/s": cpu_us["rows_request"],
    }
    drawn = axes.bar(list(bars), list(bars.values()), color=["C7", "C0", "C0"])
    axes.bar_label(drawn, fmt="{:,.0f} µs")
    axes.set(ylabel="CPU a request, µs", title="one uvicorn worker")
