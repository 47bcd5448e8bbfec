"""Pages from templates: every word of others is escaped, every number has its unit, every instant says its zone."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context
from pathlib import Path
from typing import Any, Final

import structlog
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from iops.auth import Caller, Role
from iops.clock import to_epoch_ms
from iops.errors import IopsError, Unavailable
from iops.gate import CALLER
from iops.insight import cut_risk
from services.insights.pages import assets, spark

log = structlog.get_logger()

# Under `no-referrer` a browser says `Origin: null` of a form, and a form without our origin is refused.
HEADERS: Final = {"Referrer-Policy": "same-origin"}
THREE_DIGITS: Final = Context(prec=3, rounding=ROUND_HALF_UP)
NONE: Final = "-"  # what stands where nothing was measured


def render(request: Request, name: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A page of `templates/`; the caller, where there is one, is the request's."""
    caller: Caller | None = request.scope.get(CALLER)
    may_act = caller is not None and caller.may(Role.OPERATOR)
    page = ENVIRONMENT.get_template(name).render(context, path=request.url.path, caller=caller, may_act=may_act)
    return HTMLResponse(page, status, HEADERS)


def error_page(request: Request, error: IopsError) -> HTMLResponse:
    """An expected failure for a person: its sentence, and where to go on."""
    answer = render(request, "error.html", status=error.status, error=error)
    return retry_later(answer, error) if isinstance(error, Unavailable) else answer


def retry_later(page: HTMLResponse, error: Unavailable) -> HTMLResponse:
    """The page, saying when to ask again."""
    page.headers["Retry-After"] = str(error.retry_after_s)
    return page


def instant(at: datetime | None) -> str:
    """A `<time>`, in UTC until a script makes it the reader's own."""
    if at is None:
        return NONE
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(f"{utc:%Y-%m-%dT%H:%M:%S}Z", f"{utc:%Y-%m-%d %H:%M:%S}")


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, with the instant itself behind it.

    >>> from datetime import timedelta
    >>> now = datetime(2026, 11, 23, 2, 39, tzinfo=UTC)
    >>> print(ago(now - timedelta(seconds=90), now))
    <time datetime="2026-11-23T02:37:30Z" title="2026-11-23 02:37:30 UTC" data-ago>2 min ago</time>
    """
    if at is None:
        return NONE
    utc = at.astimezone(UTC)
    text = f"{duration((now - at).total_seconds())} ago" if now > at else "now"
    return Markup('<time datetime="{}" title="{} UTC" data-ago>{}</time>').format(
        f"{utc:%Y-%m-%dT%H:%M:%S}Z", f"{utc:%Y-%m-%d %H:%M:%S}", text
    )


def duration(seconds: float) -> str:
    """
    >>> duration(12), duration(90), duration(7000), duration(200_000)
    ('12 s', '2 min', '117 min', '2 d 8 h')
    """
    if seconds < 60:
        return f"{max(0, seconds):.0f} s"
    if seconds < 7_200:
        return f"{max(1, round(seconds / 60 + 1e-9)):.0f} min"
    hours = round(seconds / 3600)
    return f"{hours} h" if hours < 48 else f"{hours // 24} d" + (f" {hours % 24} h" if hours % 24 else "")


def quantity(value: float | None, unit: str = "") -> str:
    """Three digits and the unit; a dash where nothing was measured. Halves go up, as in the browser (units.js).

    >>> quantity(0.4213, "ms"), quantity(22.25), quantity(812.5), quantity(3012.4, "/s"), quantity(None, "ms")
    ('0.421 ms', '22.3', '813', '3,012 /s', '-')
    """
    if value is None:
        return NONE
    if abs(value) >= 100:
        text = f"{math.floor(value + 0.5):,}"
    else:
        text = f"{float(THREE_DIGITS.create_decimal_from_float(value)):.3g}"
    return f"{text} {unit}".rstrip()


def measure(value: float | None, unit: str) -> str:
    """What a fact has measured, as its sentence says it.

    >>> measure(1.17, "ms"), measure(19.2, "ratio"), measure(0.97, "ratio"), measure(0.835, "ln ratio")
    ('1.17 ms', '19.2 times', '97 %', '2.3 times')
    """
    if value is None:
        return NONE
    if unit == "ln ratio":
        return quantity(math.exp(value), "times")
    if unit == "ratio":
        return percent(value) if value <= 1 else quantity(value, "times")
    return quantity(value, "" if unit == "flag" else unit)


def bytes_s(value: float | None) -> str:
    """
    >>> bytes_s(0), bytes_s(3_440_640), bytes_s(2.5e9)
    ('0 B/s', '3.44 MB/s', '2.5 GB/s')
    """
    if value is None:
        return NONE
    for factor, unit in ((1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s")):
        if abs(value) >= factor:
            return quantity(value / factor, unit)
    return quantity(value, "B/s")


def percent(ratio: float | None) -> str:
    """
    >>> percent(0.143), percent(0.125), percent(1)
    ('14 %', '13 %', '100 %')
    """
    return NONE if ratio is None else f"{math.floor(100 * ratio + 0.5)} %"


def words(name: str | None) -> str:
    """
    >>> words("latency_spike"), words("io_errors")
    ('latency spike', 'I/O errors')
    """
    return NONE if name is None else str(name).replace("_", " ").replace("io errors", "I/O errors")


def line(text: str, limit: int = 400) -> str:
    """Other people's text as one printable line, cut.

    >>> line("sda\\n\\x1b[31mred", 8), line("web\\u202e-1")
    ('sda  [3…', 'web -1')
    """
    printable = "".join(character if character.isprintable() else " " for character in str(text)[: limit + 1])
    return printable if len(printable) <= limit else f"{printable[: limit - 1]}…"


def usd(value: float | None) -> str:
    """
    >>> usd(0), usd(0.00042), usd(1.5)
    ('$0', '$0.0004', '$1.50')
    """
    if value is None:
        return NONE
    return "$0" if value == 0 else f"${value:,.2f}" if value >= 0.01 else f"${value:.4f}"


def level(risk_score: float | None) -> str:
    """The class of a risk, which says it in colour beside the number.

    >>> level(85.0), level(60.0), level(12.0), level(None)
    ('high', 'elevated', 'low', 'unknown')
    """
    if risk_score is None:
        return "unknown"
    return "high" if risk_score >= 80 else "elevated" if risk_score >= 60 else "low"


def risk(risk_score: float | None) -> str:
    """A badge with the number; who cannot see colours hears the word."""
    kind = level(risk_score)
    text = NONE if risk_score is None else f"{cut_risk(risk_score)}"
    said = {"high": "high risk", "elevated": "elevated risk", "low": "low risk", "unknown": "not scored yet"}[kind]
    return Markup('<span class="risk {}"><span class="hidden">{} </span>{}</span>').format(kind, said, text)


ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {
    "ago": ago,
    "bytes_s": bytes_s,
    "duration": duration,
    "epoch_ms": to_epoch_ms,
    "instant": instant,
    "level": level,
    "line": line,
    "measure": measure,
    "percent": percent,
    "quantity": quantity,
    "risk": risk,
    "spark": spark.spark,
    "usd": usd,
    "words": words,
}
ENVIRONMENT.globals |= {"asset": assets.url_of, "has_vendor": assets.has_vendor}
