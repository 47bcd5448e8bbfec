"""How far what is scored lies from what the model was trained on: a population stability index for each feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from iops.features import NAMES
from iops.observability import Metrics

Array = NDArray[np.float64]

MEMORY: Final = 20_000  # rows; older ones fade
ENOUGH: Final = 1_000  # rows; with fewer an index is chance
LEAST_SHARE: Final = 1e-3  # of a bin, so that an empty one is not infinitely far


class Drift:
    """Counts the rows that were scored by the deciles of the training rows.

    An index below 0.1 is no drift, above 0.25 the model sees what it was not made for. Where many rows have one value,
    as 0 of most shares, deciles leave open how many: up to a tenth more is no drift.
    """

    def __init__(self, deciles: Mapping[str, Sequence[float]], metrics: Metrics) -> None:
        self._edges = {NAMES.index(name): np.unique(edges) for name, edges in deciles.items() if name in NAMES}
        self._deciles = {place: np.asarray(deciles[NAMES[place]]) for place in self._edges}
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
        seen = counts / counts.sum()
        expected = _nearest_shares(seen, self._deciles[place], self._edges[place])
        seen, expected = np.maximum(seen, LEAST_SHARE), np.maximum(expected, LEAST_SHARE)
        return float(np.sum((seen - expected) * np.log(seen / expected)))


def _nearest_shares(seen: Array, deciles: Array, edges: Array) -> Array:
    """Of the bins, the shares nearest to those seen that the training rows may have had."""
    least = np.searchsorted(deciles, edges, side="right") / (len(deciles) + 1)  # of the rows are not above the edge
    below = np.clip(np.cumsum(seen)[:-1], least, least + 1 / (len(deciles) + 1))
    return np.diff(below, prepend=0, append=1)
