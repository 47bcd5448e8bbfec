"""Takes an operator's word on an insight: stores it once, and quiets the stream's trouble where it was dismissed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random
from ulid import ULID

from iops import items
from iops.audit import Deed
from iops.auth import Caller
from iops.clock import Clock, from_epoch_ms, to_epoch_ms
from iops.contract import INSIGHT_RISK_SCORE
from iops.errors import Conflict, InvalidInput, NotFound, Problem
from iops.insight import Feedback, Insight, PredictionType, Verdict
from iops.items import Item, Stream, Word
from iops.table import Table, read_row

ATTEMPTS: Final = 5  # where another operator, or the scorer, writes at the same instant
LONGEST_WAIT_S: Final = 0.05
WORDS_LIMIT: Final = 100  # on one insight; more is a program gone wrong
A_MOMENT: Final = timedelta(milliseconds=1)  # what the table tells apart


Witness = Callable[[Insight, Feedback], Deed]


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says of an insight."""

    verdict: Verdict
    text: str | None
    prediction_type: PredictionType | None  # what it was instead, where the cause was wrong
    given_by: str
    request_key: str | None  # under which the sender would repeat it; None: it is known by its content
    witness: Witness  # says what the audit is to hold of it


async def read_insight(table: Table, insight_id: str, caller: Caller) -> Insight:
    """One insight of the caller's. Raises NotFound, DamagedRow."""
    row = await table.get_own(items.key_of(f"insight#{insight_id}", "insight"), caller)
    if row is None:
        raise NotFound(f"there is no insight {insight_id!r}, or it is older than 90 days")
    return read_row(row, items.item_to_insight)


async def read_words(table: Table, insight_id: str) -> list[Word]:
    """What was said of an insight, oldest first."""
    return [items.item_to_word(row) for row in await table.query(items.words_query(insight_id))]


async def hear(
    table: Table, insight_id: str, said: Said, *, caller: Caller, clock: Clock, quiet: timedelta
) -> Feedback:
    """The feedback as it is stored; the same again answers with the first and changes nothing.

    Raises NotFound, InvalidInput, TableUnavailable, and Conflict where others kept writing.
    """
    insight = await read_insight(table, insight_id, caller)
    _check(insight, said)

    async def once() -> Feedback:
        words = await read_words(table, insight_id)
        now = from_epoch_ms(to_epoch_ms(clock()))
        return _found(words, said, now) or await _store(table, insight, said, words=words, now=now, quiet=quiet)

    return await AsyncRetrying(
        retry=retry_if_exception_type(Conflict),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random(0, LONGEST_WAIT_S),
        reraise=True,
    )(once)


def _check(insight: Insight, said: Said) -> None:
    if insight.risk_score < INSIGHT_RISK_SCORE and not insight.is_asked_for:
        raise _refusal("insight_id", "this insight says that nothing is wrong any more; answer the one it ended")
    if said.prediction_type is not None and said.prediction_type is insight.prediction_type:
        raise _refusal("prediction_type", "is the cause that the insight gives; confirm it, or name another")


def _found(words: Sequence[Word], said: Said, now: datetime) -> Feedback | None:
    """The stored feedback that this repeats: of its key, or the last one if it says the same and still holds."""
    if said.request_key is None:
        last = words[-1].feedback if words else None
        return last if last and _says(last, said) and (last.quiet_until is None or now < last.quiet_until) else None
    for word in words:
        if word.request_key == said.request_key:
            if not _says(word.feedback, said):
                raise _refusal("Idempotency-Key", "was used for another feedback; send a new one")
            return word.feedback
    return None


def _says(feedback: Feedback, said: Said) -> bool:
    stored = (feedback.verdict, feedback.text, feedback.prediction_type, feedback.given_by)
    return stored == (said.verdict, said.text, said.prediction_type, said.given_by)


async def _store(
    table: Table, insight: Insight, said: Said, *, words: Sequence[Word], now: datetime, quiet: timedelta
) -> Feedback:
    """The feedback, its place beside the insight, its deed and what becomes quiet: all or none; raises Conflict."""
    if len(words) >= WORDS_LIMIT:
        raise _refusal("insight_id", f"has {WORDS_LIMIT} words already; no more are taken")
    row = await table.get(items.key_of(insight.stream_id, "stream"))
    stream = items.item_to_stream(row) if row else None
    # The last word holds, and lists are by time: it must not seem older than the one before, whoever's clock is off.
    created_at = max(now, words[-1].feedback.created_at + A_MOMENT) if words else now
    is_trouble = stream is not None and insight.prediction_type is not None
    is_quieting = said.verdict is Verdict.DISMISS and is_trouble and quiet > timedelta(0)
    feedback = Feedback(
        feedback_id=str(ULID.from_datetime(created_at)),
        insight_id=insight.insight_id,
        verdict=said.verdict,
        created_at=created_at,
        text=said.text,
        prediction_type=said.prediction_type,
        given_by=said.given_by,
        quiet_until=created_at + quiet if is_quieting else None,
    )
    word = Word(feedback, said.request_key)
    writes: list[Item] = [
        {"Put": {"Item": items.feedback_item(feedback)}},
        {"Put": items.word_put(word, len(words))},
        {"Put": items.deed_put(said.witness(insight, feedback))},
    ]
    await table.transact(writes + _quiet_writes(stream, insight.prediction_type, feedback))
    return feedback


def _quiet_writes(stream: Stream | None, kind: PredictionType | None, feedback: Feedback) -> list[Item]:
    """A dismissal quiets; any other word says that something was wrong after all, and ends a quiet."""
    if stream is None or kind is None:
        return []
    if feedback.quiet_until is not None:
        return [{"Update": items.stream_quiet_update(stream, kind, feedback.quiet_until)}]
    if feedback.verdict is not Verdict.DISMISS and stream.is_quiet(kind, feedback.created_at):
        return [{"Update": items.stream_quiet_update(stream, kind, None)}]
    return []


def _refusal(field: str, message: str) -> InvalidInput:
    return InvalidInput([Problem(field, message)])
