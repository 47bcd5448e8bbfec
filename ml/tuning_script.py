"""What a tuning job runs in SageMaker's managed XGBoost container: one candidate, cross-validated by host.

`iops` is not in that container, so this file stands alone. It prints the candidate's score in a line that the job's
metric definition finds. The rows are those that `ml.tuning_job.write_rows` wrote.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray

ROWS_FILE: Final = "rows.npz"
METRIC: Final = "auc_pr"  # mean over the judged hosts, each judged by a model that never saw it
OURS: Final = ("rounds", "simulated_ratio", "folds")  # the others are XGBoost's own

Array = NDArray[np.float64]


def main(arguments: Sequence[str], directory: Path) -> None:
    """Prints the score; the job reads it from the log."""
    with np.load(directory / ROWS_FILE, allow_pickle=False) as rows:
        score = cross_validate(dict(rows), read_parameters(arguments))
    sys.stdout.write(f"{METRIC}={score:.6f}\n")


def read_parameters(arguments: Sequence[str]) -> dict[str, Any]:
    """`--name value` pairs; numbers as numbers, all else as text. What begins with `_` is SageMaker's own.

    >>> read_parameters(["--max_depth", "3", "--eta", "0.08", "--tree_method", "hist"])
    {'max_depth': 3, 'eta': 0.08, 'tree_method': 'hist'}
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    names = [argument.removeprefix("--") for argument in arguments[::2]]
    for name in names:
        parser.add_argument(f"--{name}", dest=name, type=_value)
    said = vars(parser.parse_args(list(arguments)))
    return {name: value for name, value in said.items() if not name.startswith("_")}


def cross_validate(rows: Mapping[str, NDArray[Any]], parameters: Mapping[str, Any]) -> float:
    """Mean average precision over the judged hosts. A host is in one fold with all its disks."""
    hosts = np.unique(rows["host"][rows["is_judged"]])
    fold_of = {host: place % int(parameters["folds"]) for place, host in enumerate(hosts)}
    fold = np.array([fold_of.get(host, -1) for host in rows["host"]])  # -1: always trained on
    scores = []
    for number in range(int(parameters["folds"])):
        booster = _fit({name: part[fold != number] for name, part in rows.items()}, parameters)
        for host in hosts:
            mine = rows["is_judged"] & (rows["host"] == host) & (fold == number)
            if rows["incident"][mine].any():
                margin = booster.predict(xgboost.DMatrix(rows["features"][mine]), output_margin=True)
                scores.append(average_precision(rows["incident"][mine], margin.astype(np.float64)))
    return float(np.mean(scores))


def average_precision(is_incident: NDArray[np.bool_], score: Array) -> float:
    """The area under precision over recall, in steps; rows of the same score are one step.

    >>> average_precision(np.array([True, False, True, False]), np.array([4.0, 3.0, 2.0, 1.0])).__round__(4)
    0.8333
    """
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(is_incident[order])
    is_last = np.append(np.diff(score[order]) != 0, True)
    found, seen = found[is_last], np.flatnonzero(is_last) + 1
    return float(np.sum(np.diff(found, prepend=0) * found / seen) / found[-1])


def _fit(rows: Mapping[str, NDArray[Any]], parameters: Mapping[str, Any]) -> xgboost.Booster:
    """A weight of 0 is of a row that is only judged."""
    weight = rows["weight"].astype(np.float64)
    simulated = ~rows["is_judged"]
    if simulated.any() and not simulated.all():
        weight[simulated] *= parameters.get("simulated_ratio", 1.0) * weight[~simulated].sum() / weight[simulated].sum()
    used = weight > 0
    data = xgboost.DMatrix(rows["features"][used], rows["incident"][used], weight=weight[used])
    own = {name: value for name, value in parameters.items() if name not in OURS}
    return xgboost.train({"objective": "binary:logistic", **own}, data, int(parameters["rounds"]))


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


if __name__ == "__main__":
    main(sys.argv[1:], Path(os.environ["SM_CHANNEL_TRAIN"]))
