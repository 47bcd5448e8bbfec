"""The parts that word insights, without a language model or with those a test gives."""

import time
from collections.abc import Callable, Sequence

from iops.clock import Clock
from iops.flags import Flags
from iops.observability import Metrics
from iops.table import Table
from services.insights.answer import Answer
from services.insights.answer_cache import AnswerCache
from services.insights.calls import ResilientProvider
from services.insights.explainer import Explainer
from services.insights.improve import Improver
from services.insights.tell import Teller

WILLING = Flags(ai_enabled=True)


def an_explainer(
    *providers: ResilientProvider,
    metrics: Metrics | None = None,
    flags: Flags = WILLING,
    now_s: Callable[[], float] = time.monotonic,
) -> Explainer:
    """Asks these."""
    counts = metrics or Metrics()
    return Explainer(providers, AnswerCache[Answer](now_s, counts), counts, flags=lambda: flags, now_s=now_s)


def an_improver(
    table: Table,
    clock: Clock,
    metrics: Metrics,
    providers: Sequence[ResilientProvider] = (),
    *,
    sets_risk: bool = False,
) -> Improver:
    """Asks these, of whom there are none unless a test says so."""
    explainer = an_explainer(*providers, metrics=metrics)
    return Improver(table, explainer, clock, metrics, sets_risk=lambda: sets_risk)


def a_teller(table: Table, clock: Clock, metrics: Metrics, providers: Sequence[ResilientProvider] = ()) -> Teller:
    """Writes what is found, in the template's words where no provider is given."""
    return Teller(table, clock, metrics, an_improver(table, clock, metrics, providers))
