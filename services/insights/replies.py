"""What the answers of all language models have in common, whatever API they come through."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final

from pydantic import Field

from services.insights.providers import Prompt, Unanswered

TOKENS_LIMIT: Final = 1_000_000  # of one call: more than any window, so a count beyond it is no count
TokenCount = Annotated[int, Field(ge=0, le=TOKENS_LIMIT, strict=True)]
PromptTokenCount = Annotated[int, Field(ge=1, le=TOKENS_LIMIT, strict=True)]  # a prompt has some

# English has 4 characters in a token, and the newest tokenizers count 30 % more of them. Of other scripts a character
# may be a token of its own, so bytes count: it has 2 or 3 of them there.
BYTES_PER_TOKEN: Final = 3
TOOL_TOKENS: Final = (
    600  # what a provider adds that tells the model of its tools, 350 in 2026, and the frames of it all
)

SECONDS: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?", re.ASCII)


def tokens_of(text: str) -> int:
    """About how many tokens `text` has, rather too many than too few.

    >>> tokens_of("eleven char"), tokens_of("")
    (4, 0)
    """
    return -(-len(text.encode(errors="surrogatepass")) // BYTES_PER_TOKEN)


def prompt_tokens(prompt: Prompt) -> int:
    """About how many tokens a provider counts for `prompt`, rather too many than too few."""
    tool = f"{prompt.tool_name} {prompt.tool_description} {json.dumps(prompt.schema)}"
    return tokens_of(prompt.system) + tokens_of(prompt.user) + tokens_of(tool) + TOOL_TOKENS


def only_call(calls: Sequence[tuple[str, Any]], prompt: Prompt) -> tuple[Any, str | None]:
    """The input of the one call of the tool, or None and what is wrong: a sentence without a word of the model's."""
    if not calls:
        return None, f"The tool {prompt.tool_name} was not called."
    if len(calls) > 1:
        return None, f"{len(calls)} calls were made instead of one."
    name, given = calls[0]
    if name != prompt.tool_name:
        return None, f"A tool was called that there is not; the only one is {prompt.tool_name}."
    return given, None if given is not None else f"The tool {prompt.tool_name} was called without input."


def refused(status: int, detail: str, *, wait_s: float | None) -> Unanswered:
    """What an error means by its HTTP status. It is on no bill, since the provider says itself that it did nothing."""
    if status == 429:
        return Unanswered("throttled", detail, is_passing=True, retry_after_s=wait_s)
    if status == 408:
        return Unanswered("timed_out", detail, is_passing=True, retry_after_s=wait_s)
    if status >= 500:
        return Unanswered("failed", detail, is_passing=True, retry_after_s=wait_s)
    return Unanswered("refused", detail)


def late(timeout_s: float) -> Unanswered:
    """The deadline passed; the model may well have been at work."""
    return Unanswered("timed_out", f"no answer in {timeout_s:g} s", is_passing=True, may_have_cost=True)


def unreachable(error: Exception, *, was_sent: bool) -> Unanswered:
    """No connection, or one that broke. Named by its type: an error's text may quote what was sent."""
    return Unanswered("unreachable", type(error).__name__, is_passing=True, may_have_cost=was_sent)


def garbled(detail: str) -> Unanswered:
    """An answer that cannot be read: another try would get the like, and this one is paid."""
    return Unanswered("garbled", detail, may_have_cost=True)


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds from now, of a Retry-After that says seconds or a date; None where it says neither.

    >>> from datetime import datetime, UTC
    >>> now = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
    >>> retry_after_s("7", now), retry_after_s("Mon, 23 Nov 2026 12:00:30 GMT", now), retry_after_s("soon", now)
    (7.0, 30.0, None)
    """
    if header is None:
        return None
    text = header.strip()
    if SECONDS.fullmatch(text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):  # all of which some text or other brings forth
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at  # "-0000"
    return max((at - now).total_seconds(), 0.0)
