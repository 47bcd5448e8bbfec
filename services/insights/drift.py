"""How far what is scored lies from what the model was trained on: a population stability index for each feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.features import NAMES
from iops.observability import Metrics

MEMORY: Final = 20_000  # rows; older ones fade
ENOUGH: Final = 1_000  # rows; with fewer an index is chance
LEAST_SHARE: Final = 1e-3  # of a bin, so that an empty one is not infinitely far


class Drift:
    """Counts the rows that were scored by the deciles of the training rows.

    An index below 0.1 is no drift, above 0.25 the model sees what it was not made for.
    """

    def __init__(self, deciles: Mapping[str, Sequence[float]], metrics: Metrics) -> None:
        self._edges = {NAMES.index(name): np.unique(edges) for name, edges in deciles.items() if name in NAMES}
        self._expected = {place: _shares(deciles[NAMES[place]], edges) for place, edges in self._edges.items()}
        self._counts = {place: np.zeros(len(edges) + 1) for place, edges in self._edges.items()}
        gauge = metrics.gauge("iops_feature_drift", "Population stability index of a feature", "feature")
        for place in self._edges:
            gauge.labels(NAMES[place]).set_function(partial(self.index, place))

    def see(self, features: NDArray[np.float32]) -> None:
        """Rows [disk, feature] that are scored; nulls do not count."""
        for place, edges in self._edges.items():
            column = features[:, place]
            bins = np.searchsorted(edges, column[np.isfinite(column)])
            counts = self._counts[place]
            counts += np.bincount(bins, minlength=len(counts))
            total = counts.sum()
            if total > MEMORY:
                counts *= MEMORY / total

    def index(self, place: int) -> float:
        """Of the feature at this place of NAMES; 0 until enough was seen."""
        counts = self._counts[place]
        if counts.sum() < ENOUGH:
            return 0.0
        seen = np.maximum(counts / counts.sum(), LEAST_SHARE)
        expected = self._expected[place]
        return float(np.sum((seen - expected) * np.log(seen / expected)))


def _shares(deciles: Sequence[float], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the training rows had between the edges; deciles that are equal have one edge."""
    below = np.searchsorted(np.asarray(deciles), edges, side="right") / (len(deciles) + 1)
    return np.maximum(np.diff(below, prepend=0, append=1), LEAST_SHARE)
