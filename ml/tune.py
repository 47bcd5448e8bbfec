"""The step `tune`: searches for better parameters of the boosters, judged by machines they were not fitted on."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import numpy as np
import optuna
import typer
from optuna.storages import journal
from rich.console import Console

from iops.features import NAMES
from iops.risk import incident_scores
from ml import smd
from ml.crossval import Subject, margins, subject_of
from ml.deploy import open_cloud
from ml.image import xgboost_image
from ml.protocol import average_precision, vus_pr
from ml.rows import join
from ml.train import INCIDENT, ROUNDS, TREES_A_ROUND, WORSE_WHEN_HIGHER, Recipe, fit_incident
from ml.tuning_job import Cloud, Order, submit, wait_for_best, write_rows

FOLDS: Final = 4  # machines of one are judged by trees fitted on the others
# Name: lowest, highest, whether on a logarithmic scale, whether whole.
SEARCH: Final = MappingProxyType(
    {
        "max_depth": (2, 5, False, True),
        "eta": (0.03, 0.2, True, False),
        "subsample": (0.3, 1.0, False, False),
        "colsample_bytree": (0.3, 1.0, False, False),
        "min_child_weight": (5, 100, True, False),
        "reg_lambda": (1, 50, True, False),
        "rounds": (60, 240, False, True),
    }
)
JOB_LIMIT_S: Final = 4 * 3600.0


class Where(StrEnum):
    HERE = "here"
    SAGEMAKER = "sagemaker"


def tune(
    data: Annotated[Path, typer.Option(help="folder with smd/: recorded machines")],
    trials: Annotated[int, typer.Option(min=1, help="how many recipes to try in all; those tried before count")] = 50,
    store: Annotated[Path, typer.Option(help="where trials are kept, so that a search goes on")] = Path(
        ".local/tune.journal"
    ),
    seed: Annotated[int, typer.Option(help="of the search and of the folds")] = 0,
    where: Annotated[Where, typer.Option(help="here, or as a SageMaker tuning job")] = Where.HERE,
    role_arn: Annotated[str, typer.Option(help="sagemaker: the role the job runs as")] = "",
    bucket: Annotated[str, typer.Option(help="sagemaker: where rows and script go")] = "",
    region: Annotated[str, typer.Option(help="sagemaker: where it runs")] = "us-east-1",
    image_uri: Annotated[str, typer.Option(help="sagemaker: the XGBoost container, if not the region's own")] = "",
    endpoint_url: Annotated[str | None, typer.Option(help="sagemaker: a stand-in's address")] = None,
) -> None:
    """Try recipes, the one that ships first; the mean of AUC-PR and VUS-PR over machines decides."""
    subjects = [subject_of(machine) for machine in smd.machines_of(data)]
    if where is Where.HERE:
        _search_here(subjects, trials, store, seed)
        return
    if not role_arn or not bucket:
        raise typer.BadParameter("--where sagemaker needs --role-arn and --bucket")
    order = Order(SEARCH, FIXED, trials, image_uri or xgboost_image(region), role_arn, bucket, seed)
    clients = open_cloud(region, endpoint_url)
    _search_there(subjects, order, Cloud(clients.s3, clients.sagemaker))


def worth(subjects: list[Subject], recipe: Recipe, *, seed: int) -> float:
    """The mean over machines of AUC-PR and VUS-PR, each machine by trees that were not fitted on it."""
    order = np.random.default_rng(seed).permutation(len(subjects)).tolist()
    found = []
    for fold in range(FOLDS):
        held = set(order[fold::FOLDS])
        rest = [subjects[place].rows for place in order if place not in held]
        trees = fit_incident(join(rest), seed=seed, recipe=recipe)
        found += [_worth_of(subjects[place], trees) for place in held]
    return float(np.mean(found))


FIXED: Final = MappingProxyType(
    {
        "folds": FOLDS,
        "num_parallel_tree": TREES_A_ROUND,
        "tree_method": "hist",
        "max_bin": INCIDENT["max_bin"],
        "monotone_constraints": str(tuple(int(name in WORSE_WHEN_HIGHER) for name in NAMES)),
    }
)


def _worth_of(subject: Subject, trees: Any) -> float:
    features = subject.features[subject.machine.is_judged]
    score = incident_scores(margins(trees, features), features)
    known = ~subject.truth.is_ignored
    target = subject.truth.target[known]
    return (average_precision(target, score[known]) + vus_pr(target, score[known])) / 2


def _search_here(subjects: list[Subject], trials: int, store: Path, seed: int) -> None:
    store.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="risk",
        storage=optuna.storages.JournalStorage(journal.JournalFileBackend(str(store))),
        sampler=optuna.samplers.TPESampler(seed=seed),
        direction="maximize",
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial({**{name: INCIDENT[name] for name in SEARCH if name != "rounds"}, "rounds": ROUNDS})
    left = max(0, trials - sum(trial.state.is_finished() for trial in study.trials))
    study.optimize(lambda trial: worth(subjects, _recipe(trial), seed=seed), n_trials=left, show_progress_bar=True)
    best, shipped = study.best_trial, study.trials[0]
    Console().print(
        f"best of {len(study.trials)}: {best.value:.4f} with {best.params}; as it ships: {shipped.value:.4f}"
    )


def _search_there(subjects: list[Subject], order: Order, cloud: Cloud) -> None:
    rows = join([subject.rows for subject in subjects])
    is_judged = np.ones(len(rows), np.bool_)
    content = write_rows(rows.features, rows.incident, weight=rows.weight, host=rows.host, is_judged=is_judged)
    name = submit(order, content, cloud)
    Console().print(f"submitted {name}; waiting for it")
    best = wait_for_best(name, SEARCH, cloud, deadline_s=JOB_LIMIT_S)
    Console().print(f"best: AUC-PR {best.auc_pr:.4f} with {best.parameters} ({best.training_job})")


def _recipe(trial: optuna.Trial) -> Recipe:
    chosen: dict[str, Any] = {}
    for name, (low, high, is_log, is_whole) in SEARCH.items():
        if is_whole:
            chosen[name] = trial.suggest_int(name, int(low), int(high), log=is_log)
        else:
            chosen[name] = trial.suggest_float(name, low, high, log=is_log)
    rounds = chosen.pop("rounds")
    return Recipe(parameters={**INCIDENT, **chosen}, rounds=rounds)
