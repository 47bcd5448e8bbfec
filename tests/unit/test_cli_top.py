"""`iops top` against a server double: what stands on the screen, at which size, and when the server goes away."""

import asyncio
import io
import json
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from rich.console import Console

from cli.outcome import Unreachable
from cli.server import Row, Server
from cli.top.draw import draw
from cli.top.fleet import Look, Wanted, look_of
from cli.top.keys import Key
from cli.top.watch import Watch
from iops.telemetry import instant_to_text
from tests.unit.builders import AT, AT_MS
from tests.unit.test_cli import iops

LATEST: Row = {"iops": 1234.5, "bytes_s": 2e6, "await_ms": 0.41, "queue_depth": 3.25, "utilization_ratio": 0.5}


STRIP: Row = {
    "samples_per_s": 1234.0,
    "spend_today_usd": 0.1234,
    "budget_usd": 1.0,
    "scoring": "local",
    "explaining": "template",
}


def a_row(stream_id: str = "web-1:sda", **fields: object) -> Row:
    """A stream that is well."""
    return {
        "stream_id": stream_id,
        "peer_group": "web-1",
        "labels": {},
        "risk_score": 12.0,
        "prediction_type": None,
        "warming_up": False,
        "silent": False,
        "alert": None,
        "last_at": instant_to_text(AT_MS - 7_000),
        "latest": LATEST,
        "spark": [1.0] * 50 + [None] * 4 + [8.0] * 6,
        "is_read": True,
        **fields,
    }


def an_answer(*rows: Row, page: int = 1, pages: int = 1, at_ms: int = AT_MS) -> Row:
    counts = {"streams": 30, "alerts": 2, "firing": 1, "high": 1, "elevated": 0, "warming_up": 3, "silent": 0}
    told = {"total": 30, "page": page, "pages": pages, "counts": counts, "read_at": instant_to_text(at_ms)}
    return {"items": list(rows), **told, "strip": STRIP}


def answering(answer: Row) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(200, json=answer)


def lines_of(look: Look, *, width: int, height: int, later_s: float = 1, why_stale: str | None = None) -> list[str]:
    """What a terminal of that size would show."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        now = AT + timedelta(seconds=later_s)
        console.print(draw(look, now, width=width, height=height, why_stale=why_stale))
    return [line.rstrip() for line in capture.get().splitlines()]


def a_look(*rows: Row, later_s: float = 0, before: Look | None = None) -> Look:
    """With one line above it."""
    answer = {**an_answer(*rows), "strip": {}}
    return look_of(answer, now=AT + timedelta(seconds=later_s), before=before)


def test_one_table_stands_on_a_pipe_with_the_system_above_it() -> None:
    worst = a_row("web-1:sdb", risk_score=91.0, prediction_type="fail_slow", alert={"state": "firing"})

    result = iops("top", handler=answering(an_answer(worst, a_row(warming_up=True, silent=True))))

    assert result.exit_code == 0
    head, titles, first, second = (" ".join(line.split()) for line in result.stdout.splitlines())
    assert head.startswith("30 streams 2 open alerts 1 firing 1 high 3 warming up 1,234 samples/s $0.123 of $1 today")
    assert "scored by local explained by template updated" in head
    assert titles == "risk of 100 finding stream peer group IOPS MB/s await ms queue busy await, last hour seen state"
    assert first.startswith("91 ███████· fail slow web-1:sdb web-1 1,234 2 0.41 3.25 50% ▂▂▂▂")
    assert first.endswith("7 s firing")
    assert second.endswith("7 s silent, warming up")


def test_what_is_asked_for_goes_to_the_server() -> None:
    asked: list[httpx.URL] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json=an_answer())

    iops("top", "--group", "a&b", "--min-risk", "60", "--text", "nvme", handler=handler)

    (fleet,) = asked
    assert fleet.path == "/fleet"
    assert dict(fleet.params) == {"page": "1", "limit": "200", "peer_group": "a&b", "text": "nvme", "min_risk": "60.0"}


def test_json_is_the_servers_answer() -> None:
    answer = an_answer(a_row())

    assert json.loads(iops("top", "--json", handler=answering(answer)).stdout) == answer


def test_a_server_without_a_fleet_is_a_sentence() -> None:
    result = iops("top", handler=lambda request: httpx.Response(404, json={"detail": "x"}))

    assert (result.exit_code, "older than this command" in result.stderr) == (1, True)


def test_what_only_some_may_know_of_the_system_is_left_out() -> None:
    strip = {**STRIP, "samples_per_s": None, "spend_today_usd": None, "budget_usd": None}

    result = iops("top", handler=answering({**an_answer(a_row()), "strip": strip}))

    assert "samples/s" not in result.stdout
    assert "today" not in result.stdout
    assert "scored by local" in result.stdout


def test_where_nothing_arrives_it_is_not_known_who_is_silent() -> None:
    said = {"strip": {**STRIP, "outage": "ingest is gone"}, "counts": {"streams": 30, "silent": 3}}

    result = iops("top", handler=answering({**an_answer(a_row()), **said}))

    assert "OUTAGE: ingest is gone" in result.stdout
    assert "3 silent" not in result.stdout


def test_80_by_24_is_filled_and_not_overflown() -> None:
    long = "database-primary-7.eu-west-1.example"
    look = a_look(*(a_row(f"{long}:nvme{disk}n1", alert={"state": "acknowledged"}) for disk in range(30)))

    lines = lines_of(look, width=80, height=24)

    assert len(lines) == 24
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["risk", "finding", "stream", "IOPS", "await", "ms", "busy", "seen", "state"]
    assert lines[2].endswith(":nvme0n1   1,234     0.41  50%    7 s acknowledged")
    assert lines[-1] == "page 1 of 1, 30 streams, the worst first   j/k or arrows: page   q: end"


def test_200_by_50_shows_every_column() -> None:
    lines = lines_of(a_look(*(a_row(f"web-{host}:sda") for host in range(90))), width=200, height=50)

    assert len(lines) == 50
    assert max(map(len, lines)) <= 200
    assert "peer group" in lines[1]
    assert f"{'▂' * 25}  {'█' * 3}" in lines[2]  # two minutes a block; a gap stays one


@pytest.mark.parametrize(
    ("width", "gone"),
    [(141, "peer group"), (130, "of 100"), (121, "MB/s"), (114, "queue"), (107, "await, last hour"), (76, "busy")],
)
def test_columns_go_in_the_order_that_the_help_says(width: int, gone: str) -> None:
    look = a_look(a_row(peer_group="web", state="x"))

    assert gone not in lines_of(look, width=width, height=24)[1]
    assert gone in lines_of(look, width=width + 12 if gone == "peer group" else width + 40, height=24)[1]


def test_names_of_others_are_neither_markup_nor_terminal_commands() -> None:
    nasty = a_row("[red]x[/red]\x1b[31m\u202ey\r\nz", peer_group="\x9b2J\x07", alert={"state": "\x1b]0;x\x07"})

    text = "\n".join(lines_of(a_look(nasty), width=200, height=24))

    assert "[red]x[/red][31my z" in text
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)


@pytest.mark.parametrize(
    "row",
    [
        {},
        a_row(latest=3, spark="x", alert=[], last_at="yesterday", risk_score="high"),
        a_row(risk_score=10**400, last_at="2026-11-23T02:39:00", spark=[None, "x", float("nan")]),
        a_row(risk_score=-5e9, latest={"iops": 1e300, "utilization_ratio": -3}),
    ],
)
def test_a_row_that_is_damaged_hides_no_other(row: Row) -> None:
    lines = lines_of(a_look(row, a_row("web-9:sda")), width=200, height=24)

    assert len(lines) == 5
    assert "web-9:sda" in lines[3]


def test_numbers_that_are_being_read_are_no_gap() -> None:
    line = lines_of(a_look(a_row(is_read=False, latest=None, spark=None, last_at=None)), width=80, height=24)[2]

    assert line.split()[3:] == ["...", "...", "...", "...", "-"]


@pytest.mark.parametrize(("streams", "said"), [(0, "No streams yet: `iops agent`"), (3, "No stream is like that")])
def test_no_rows_are_a_sentence(streams: int, said: str) -> None:
    look = look_of({"items": [], "counts": {"streams": streams}}, now=AT)

    assert any(line.startswith(said) for line in lines_of(look, width=80, height=24))


def test_what_the_server_itself_has_not_renewed_is_stale() -> None:
    again = a_look(a_row(), later_s=11, before=a_look(a_row()))

    said = "STALE for 11 s, since 02:00:00 UTC: the server itself has read nothing newer"
    assert lines_of(again, width=100, height=24, later_s=11)[1] == said


class Fleet:
    """A server of three pages that can go away."""

    def __init__(self) -> None:
        self.is_away = False
        self.asked: list[str] = []
        self.at_ms = AT_MS

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("refused", request=request)
        self.at_ms += 1
        page = int(request.url.params["page"])
        self.asked.append(f"{page} of {request.url.params['limit']}")
        return httpx.Response(200, json=an_answer(a_row(f"web-{page}:sda"), page=page, pages=3, at_ms=self.at_ms))


class Terminal:
    """A terminal of 80 x 24 with `iops top` on it."""

    def __init__(self, fleet: Fleet) -> None:
        self.written = io.StringIO()
        self.keys: asyncio.Queue[Key | None] = asyncio.Queue()
        console = Console(file=self.written, force_terminal=True, width=80, height=24, color_system=None)
        server = Server("http://127.0.0.1:1", transport=httpx.MockTransport(fleet))
        self.watch = Watch(server, Wanted(), console, lambda: AT, interval_s=0.01)

    async def shows(self, *texts: str) -> None:
        """Waits for a screen with all of them; what was written before does not count."""
        self.written.seek(0)
        self.written.truncate()
        async with asyncio.timeout(5):
            while not all(text in self.written.getvalue() for text in texts):  # noqa: ASYNC110 -- a file tells nobody
                await asyncio.sleep(0.01)


async def test_keys_turn_the_pages_and_end_it() -> None:
    fleet = Fleet()
    terminal = Terminal(fleet)
    running = asyncio.create_task(terminal.watch.run(terminal.keys))

    await terminal.shows("web-1:sda", "page 1 of 3")
    for _ in range(5):  # three pages are all there are
        terminal.keys.put_nowait(Key.NEXT)
    await terminal.shows("web-3:sda", "page 3 of 3")
    terminal.keys.put_nowait(Key.BACK)
    await terminal.shows("web-2:sda", "page 2 of 3")
    terminal.keys.put_nowait(Key.END)
    await running

    assert set(fleet.asked) == {"1 of 20", "2 of 20", "3 of 20"}  # as many rows as fit
    assert terminal.written.getvalue().endswith("\x1b[?1049l")


async def test_a_server_that_goes_away_leaves_its_last_table_and_says_since_when() -> None:
    fleet = Fleet()
    terminal = Terminal(fleet)
    running = asyncio.create_task(terminal.watch.run(terminal.keys))

    await terminal.shows("web-1:sda", "updated 0 s ago")
    fleet.is_away = True
    await terminal.shows("web-1:sda", "STALE for 0 s, since 02:00:00 UTC: http://127.0.0.1:1 does not")
    fleet.is_away = False
    await terminal.shows("web-1:sda", "updated 0 s ago")
    terminal.keys.put_nowait(Key.END)
    await running


async def test_a_server_that_is_away_from_the_start_ends_it() -> None:
    fleet = Fleet()
    fleet.is_away = True

    with pytest.raises(Unreachable):
        await Terminal(fleet).watch.run(asyncio.Queue())
