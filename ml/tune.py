"""The step `tune`: searches for better parameters of the boosters, judged by machines they were not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import numpy as np
import optuna
import typer
from optuna.storages import journal
from rich.console import Console
from rich.progress import track

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
SHIPPED: Final[dict[str, Any]] = {
    "rounds": ROUNDS,
    **{name: INCIDENT[name] for name in SEARCH if name != "rounds"},
}
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
    if where is Where.SAGEMAKER and not (role_arn and bucket):
        raise typer.BadParameter("--where sagemaker needs --role-arn and --bucket")
    subjects = [subject_of(machine) for machine in track(list(smd.machines_of(data)), "Features")]
    if where is Where.HERE:
        search_here(lambda recipe: worth(subjects, recipe, seed=seed), trials, store, seed=seed)
        return
    order = Order(SEARCH, FIXED, trials, image_uri or xgboost_image(region), role_arn, bucket, seed)
    clients = open_cloud(region, endpoint_url)
    _search_there(subjects, order, Cloud(clients.s3, clients.sagemaker))


def worth(subjects: list[Subject], recipe: Recipe, *, seed: int) -> float:
    """The mean over machines with an event of AUC-PR and VUS-PR, each by trees that were not fitted on it."""
    order = np.random.default_rng(seed).permutation(len(subjects)).tolist()
    found = []
    for fold in range(FOLDS):
        held = set(order[fold::FOLDS])
        rest = [subjects[place].rows for place in order if place not in held]
        trees = fit_incident(join(rest), seed=seed, recipe=recipe)
        found += [_worth_of(subjects[place], trees) for place in held if subjects[place].truth.events]
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


def search_here(worth_of: Callable[[Recipe], float], trials: int, store: Path, *, seed: int) -> None:
    """Goes on until `trials` recipes have been tried, those of earlier runs and the one that ships among them."""
    store.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="risk",
        storage=optuna.storages.JournalStorage(journal.JournalFileBackend(str(store))),
        direction="maximize",
        load_if_exists=True,
    )
    # A sampler begun anew with the same seed would draw the recipes of the last run again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    if not any(trial.params == SHIPPED for trial in _tried(study)):
        study.enqueue_trial(SHIPPED)
    left = max(0, trials - len(_tried(study)))
    study.optimize(lambda trial: worth_of(_recipe(trial)), n_trials=left, show_progress_bar=True)
    best, tried = study.best_trial, _tried(study)
    shipped = next((f"{trial.value:.4f}" for trial in tried if trial.params == SHIPPED), "not tried")
    Console().print(f"best of {len(tried)}: {best.value:.4f} with {best.params}; as it ships: {shipped}")


def _tried(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """A trial that was interrupted has no value, and is none."""
    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))


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
