"""Plots of what a model is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ml.calibration import Reliability


def draw_reliability(bins: Sequence[Reliability], path: Path) -> None:
    """What was said against what came; a dot's size is how many minutes it stands for."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    said, came = [part.mean_p for part in bins], [part.incident_ratio for part in bins]
    axes.plot(said, came, color="C0", linewidth=1)
    most = max(part.minutes for part in bins)
    axes.scatter(said, came, s=[20 + 180 * (part.minutes / most) ** 0.5 for part in bins], color="C0", alpha=0.6)
    for part in bins:
        axes.annotate(f"{part.minutes:,}", (part.mean_p, part.incident_ratio), fontsize=7, ha="left", va="bottom")
    axes.set(xlabel="probability of an incident, as said", ylabel="share of minutes in an event", title="Reliability")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
