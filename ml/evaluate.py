"""The step `evaluate`: what the model is worth on real disks, beside what it has to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from iops.model import Model
from iops.risk import KINDS
from ml import failslow, smd
from ml.answers import Scorer, answers_of, answers_of_file
from ml.baselines import OF_DISKS, OF_PEERS
from ml.hosts import UNKNOWN, Host, features_of
from ml.judge_disks import RISKS, Series, judge_disks, series_of
from ml.judge_drives import (
    HealthyPages,
    Windows,
    healthy_pages,
    judge_by_drive,
    judge_drives,
    windows_of,
)
from ml.plot import draw_reliability
from ml.report import MODEL, TREES, DiskReport, DriveReport, Report, as_json, print_tables
from ml.source import UnreadableData


def evaluate(
    data: Annotated[Path, typer.Option(help="folder with smd/ or failslow/ or both, labelled")],
    model: Annotated[Path, typer.Option(help="the model's folder")] = Path("ml/model"),
    *,
    folds: Annotated[
        Path | None, typer.Option(help="smd_scores.parquet by models that were not fitted on the machine they score")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="where the reliability plot goes (PNG)")] = None,
    json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Judge the model on real disks by pages and events, beside the baselines."""
    report = report_of(data, Model(model), cross_validated=answers_of_file(folds) if folds else None)
    if plot and report.disks and (calibration := report.disks[0].scorers[MODEL].calibration):
        draw_reliability(calibration.reliability, plot)
    if json:
        typer.echo(as_json(report))
    else:
        print_tables(report)


def report_of(
    data: Path, model: Model, *, cross_validated: Scorer | None = None, simulated: Iterable[Host] = ()
) -> Report:
    """Judges what is in `data`; `cross_validated` answers for the machines of SMD in the model's place."""
    fitted = frozenset(str(name) for name in model.card.facts.get("trained_on", ()))
    disks: list[DiskReport] = []
    drives = None
    if not any((data / folder).is_dir() for folder in ("smd", "failslow")):
        raise UnreadableData(f"{data}: has neither smd/ nor failslow/")
    if (data / "smd").is_dir():
        machines = smd.machines_of(data)
        disks = list(_disk_reports(machines, cross_validated or answers_of(model), fitted, cross_validated is not None))
    if (data / "failslow").is_dir():
        drives = _drive_report(failslow.hosts_of(data), answers_of(model), fitted)
    if not disks and drives is None:
        raise UnreadableData(f"{data}: nothing in it is labelled, so nothing can be judged; `score` needs no labels")
    return Report(model.card.version, disks, drives, kinds_called(simulated, answers_of(model)))


def kinds_called(hosts: Iterable[Host], scorer: Scorer) -> dict[str, dict[str, int]]:
    """Of the minutes of known incidents: how often each kind was called what."""
    called: dict[str, Counter[str]] = {}
    for host in hosts:
        kind = scorer(host, features_of(host)).kind
        assert kind is not None, "a scorer that names no kinds"
        for truth, said in zip(host.kind[host.incident == 1], kind[host.incident == 1], strict=True):
            if truth >= 0:
                called.setdefault(KINDS[truth].value, Counter())[KINDS[said].value] += 1
    return {truth: dict(said) for truth, said in called.items()}


def _disk_reports(
    machines: Iterable[smd.Machine], scorer: Scorer, fitted: frozenset[str], is_cross_validated: bool
) -> Iterator[DiskReport]:
    series: dict[bool, dict[str, list[Series]]] = {}
    for machine in machines:
        is_fitted = machine.host.name in fitted and not is_cross_validated
        if (machine.host.incident[machine.is_judged] != UNKNOWN).any():
            for name, one in _series(machine, scorer):
                series.setdefault(is_fitted, {}).setdefault(name, []).append(one)
    for is_fitted, by_scorer in sorted(series.items()):
        how = "by models not fitted on them" if is_cross_validated else "never seen by the model"
        yield DiskReport(
            scored="FITTED ON: no evidence, only a check" if is_fitted else how,
            is_evidence=not is_fitted,
            names=tuple(one.machine for one in by_scorer[MODEL]),
            scorers={name: judge_disks(all_, is_model=name == MODEL) for name, all_ in by_scorer.items()},
        )


def _series(machine: smd.Machine, scorer: Scorer) -> Iterator[tuple[str, Series]]:
    features = features_of(machine.host)
    for name, baseline in OF_DISKS.items():
        score = baseline(machine.host, features)[:, 0]
        yield name, series_of(machine, score, score)
    answer = scorer(machine.host, features)
    if np.isfinite(answer.margin).any():
        yield TREES, series_of(machine, answer.margin[:, 0], answer.margin[:, 0])
    yield MODEL, series_of(machine, answer.p_incident[:, 0], answer.risk_score[:, 0])


def _drive_report(hosts: Iterable[Host], scorer: Scorer, fitted: frozenset[str]) -> DriveReport | None:
    parts: dict[str, list[Windows]] = {}
    risks, healthy, seen = [], [], []
    for host in hosts:
        if (host.incident < 0).all():
            continue
        features = features_of(host)
        answer = scorer(host, features)
        scores = {name: baseline(host, features) for name, baseline in OF_PEERS.items()}
        for name, score in {**scores, TREES: answer.margin, MODEL: answer.p_incident}.items():
            parts.setdefault(name, []).append(windows_of(host, score))
        risks.append(windows_of(host, answer.risk_score))
        healthy.append(healthy_pages(host, answer.risk_score))
        seen.append(host.name)
    if not seen:
        return None
    known = tuple(name for name in seen if name in fitted)
    return DriveReport(
        scored="FITTED ON some of them" if known else "fitted on none of them: each cluster is left out",
        fitted_on=known,
        scorers={name: judge_drives(windows) for name, windows in parts.items()},
        by_drive=judge_by_drive(risks),
        healthy=_all_pages(healthy),
    )


def _all_pages(parts: Sequence[HealthyPages]) -> HealthyPages:
    names: Final = [f"{risk:g}" for risk in RISKS]
    sent: Mapping[str, int] = {name: sum(part.pages[name] for part in parts) for name in names}
    return HealthyPages(days=sum(part.days for part in parts), pages=dict(sent))
