"""The model's card: model_card.json for programs, MODEL_CARD.md for people."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console

from iops.model import CARD_FILE, Card
from ml.plot import draw_reliability
from ml.report import MODEL, Report, as_json, print_tables
from ml.scales import BUDGETS

READABLE_FILE, PLOT_FILE = "MODEL_CARD.md", "reliability.png"
WIDTH: Final = 150  # characters of a table


def write_card(out: Path, card: Card, report: Report, digests: Mapping[str, str]) -> None:
    """Both, with the figures of a cross-validation by machine and the digests of what it was made of."""
    facts = {**card.facts, "data_sha256": dict(digests), "metrics": json.loads(as_json(report))}
    card = card.model_copy(update={"facts": facts})
    (out / CARD_FILE).write_text(card.model_dump_json(indent=1) + "\n")
    for disks in report.disks:
        if calibration := disks.scorers[MODEL].calibration:
            draw_reliability(calibration.reliability, out / PLOT_FILE)
    (out / READABLE_FILE).write_text(readable(card, report))


def readable(card: Card, report: Report) -> str:
    """The card as Markdown."""
    tables = io.StringIO()
    print_tables(report, Console(file=tables, width=WIDTH, no_color=True))
    budgets = "; ".join(f"{risk:g}: {budget:g}" for risk, budget in BUDGETS)
    lines = "\n".join(line.rstrip() for line in tables.getvalue().splitlines())
    return TEXT.format(
        version=card.version,
        feature_set_id=card.feature_set_id,
        machines=len(card.facts["trained_on"]),
        windows=card.facts["simulated_windows"],
        seed=card.facts["seed"],
        xgboost=card.facts["xgboost"],
        budgets=budgets,
        tables=lines,
        plot=PLOT_FILE,
    )


TEXT: Final = """# Model card: risk of a disk, version {version}

**What it says.** For each disk and minute: the probability of an incident, a risk of 0-100, which kind an incident
would be, and how much slower requests would be for it. From 25 features of the last hour, the last day, the last week
and the disk's peers (feature set {feature_set_id}, `iops/features.py`). XGBoost {xgboost}, four boosters: disks
without peers, disks beside peers, kind, severity. `iops/risk.py` says how they are read together.

**What a risk means.** The false pages for each stream and day if everything from a risk on paged, on machines that the
trees had not seen (risk: false pages): {budgets}. Disks beside peers are priced on simulated hosts without a fault,
less the noisiest fifth. At 80 people are paged, from 60 on an insight is written.

**What it was made of.** Disks without peers: {machines} machines of the Server Machine Dataset (MIT licence, Copyright
(c) 2021 NetManAIOps-OmniAnomaly) and its experts' labels. Disks beside peers: {windows:,} windows of simulated hosts
(`ml simulate`), labelled with the fault that was injected. Real fail-slow drives judge it below and chose the weight of
peer_standing; no tree is fitted on them. Seed {seed}; `make model` makes it again.

**What it does not know.** I/O errors and stalls are hard rules beside it. A host whose disks are all slow alike has no
peer that says so. Below 3 hours of history it is not asked. Simulated incidents taught it the kinds, so what a real
incident is called is a guess.

## Figures
Machines of SMD by models that never saw them (leave one machine out: trees, calibration and thresholds), thresholds as
they ship. Fail-slow drives by the model that ships, which never saw any.

```
{tables}
```

![Reliability]({plot})
"""
