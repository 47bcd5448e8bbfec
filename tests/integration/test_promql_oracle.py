"""Our subset of PromQL beside Prometheus itself: the same samples, the same queries, the same answers."""

from __future__ import annotations

import math
import random
import shutil
import subprocess
from array import array
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest

from bench.processes import free_port, url_of
from iops.telemetry import CHANNELS, NAN, Window
from services.insights.prometheus.query import OVER_TIME
from tests.integration.stand_ins import block_until
from tests.unit.builders import AT, AT_MS
from tests.unit.read_apis import Door, a_door

STREAMS: Final = {
    "web-1:sda": {"tier": "gp3"},
    "web-1:sdb": {"tier": "io2"},
    "web-2:sda": {"tier": "gp3", "rack": "a"},
    "web-2:sdb": {},
    "db-1:sda": {"tier": "io2", "rack": "b"},
}
SPAN_S: Final = 7_200
START: Final = "web-1:sda"
OPERATORS: Final = ("+ 1.5", "- 20", "* 1000", "/ 7", "% 3", "^ 0.5", "/ 0", "> 60", ">= bool 60", "!= 0", "< 40")


def queries() -> Iterator[str]:
    """Each construct of the subset at least once."""
    depth, errors, wait = "iops_stream_queue_depth", "iops_stream_io_errors", "iops_stream_read_await_ms"
    yield from (
        depth,
        wait,
        f'{depth}{{stream=~"web-.*",tier!="gp3"}}',
        f'{depth}{{tier!~"g.*|io2"}}',
        f'{depth}{{rack=""}}',
    )
    yield from (f'{{__name__=~"iops_stream_(read|write)_iops",stream="{START}"}}', f"{depth} offset 7m")
    yield from (f"{depth} offset -5m", f"-{depth}", f"80 - {depth}", f"60 < {depth}", f"{depth} == 42")
    yield from (f"{depth} {operator}" for operator in OPERATORS)
    yield from (f"{function}({depth}[5m])" for function in OVER_TIME)
    yield from (f"{function}({wait}[90s] offset 3m)" for function in OVER_TIME)
    yield from (f"rate({errors}[{length}])" for length in ("30s", "2m", "10m", "1h"))
    for name in ("sum", "avg", "min", "max", "count"):
        yield from (f"{name}({wait})", f"{name} by (peer_group) ({depth})", f"{name} without (stream, tier) ({wait})")
    yield from (f"sum by (tier, rack) (rate({errors}[5m]))", f"max(avg_over_time({depth}[10m])) by (missing)")
    yield from (f"quantile({share}, {depth})" for share in (-1, 0, 0.5, 0.9, 1, 2))
    yield from (f"topk(2, {depth})", f"bottomk(1, {depth}) by (peer_group)", f"topk(99, {wait})", f"topk(0, {depth})")
    yield 'sum by (stream) ({__name__=~"iops_stream_(read|write)_iops"}) * 2 + 1'
    yield from (
        "1 + 2 * 3 ^ 2 ^ 0.5",
        "-2 ^ 2",
        "7 % -3",
        "1 > bool 2",
        "Inf",
        "0x1f",
        f"(({depth})) * -(1)",
        "-1e-9 * 3",
    )
    yield from (f"avg(topk(3, {depth}) > 10) - 1", f"{depth} > 50 < 90", f"sum(-{depth})", f"nothing_{depth}")


def some_windows(seed: int) -> list[Window]:
    """Two hours of a sample in 7 to 13 s, with a gap of ten minutes, nulls, and a counter that begins anew at times."""
    dice = random.Random(seed)
    instants: list[int] = []
    errors = 0
    at_ms = AT_MS - SPAN_S * 1000
    columns: dict[str, array[float]] = {channel.name: array("d") for channel in CHANNELS}
    while at_ms < AT_MS:
        at_ms += 600_000 if len(instants) == 200 else dice.randrange(7_000, 13_000, 250)
        instants.append(at_ms)
        errors = 0 if dice.random() < 0.02 else errors + dice.randrange(5)
        for channel in CHANNELS:
            value = round(dice.uniform(0, min(100, channel.maximum)) * channel.steps_per_unit) / channel.steps_per_unit
            is_null = channel.name.endswith("_ms") and dice.random() < 0.3
            columns[channel.name].append(NAN if is_null else errors if channel.name == "io_errors" else value)
    whole = Window(array("q", instants), columns)
    return [whole.cut(start, start + 50) for start in range(0, len(whole), 50)]


def open_metrics(measured: dict[str, list[Window]]) -> Iterator[str]:
    """The same samples as promtool reads them."""
    for channel in CHANNELS:
        yield f"# TYPE iops_stream_{channel.name} gauge"
        for stream_id, windows in measured.items():
            labels = {"stream": stream_id, "peer_group": stream_id.partition(":")[0], **STREAMS[stream_id]}
            said = ",".join(f'{name}="{value}"' for name, value in labels.items())
            for window in windows:
                for at_ms, value in zip(window.at_ms, window[channel.name], strict=True):
                    if value == value:
                        yield f"iops_stream_{channel.name}{{{said}}} {value!r} {at_ms / 1000:.3f}"
    yield "# EOF"


@pytest.fixture(scope="module")
def measured() -> dict[str, list[Window]]:
    return {stream_id: some_windows(seed) for seed, stream_id in enumerate(STREAMS)}


@pytest.fixture(scope="module")
def prometheus(measured: dict[str, list[Window]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a real one answers, which has the samples."""
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip("prometheus and promtool are not here; Debian's package prometheus has both")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    (folder / "samples.txt").write_text("\n".join(open_metrics(measured)) + "\n")
    (folder / "prometheus.yml").write_text("")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples.txt", "data"]
    subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True)
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=10y"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder, stdout=log, stderr=log
        )
    try:
        block_until(lambda: _is_ready(url_of(port)))
        yield url_of(port)
    finally:
        server.terminate()
        server.wait(20)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=1, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@dataclass(frozen=True, slots=True)
class Both:
    """Prometheus and us."""

    door: Door
    theirs: httpx.AsyncClient

    async def ask(self, path: str, **parameters: Any) -> tuple[Any, Any]:
        """Our answer and theirs."""
        answer = await self.theirs.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return await self.door.ask(path, **parameters), answer.json()["data"]


@pytest.fixture
async def both(measured: dict[str, list[Window]], prometheus: str) -> AsyncIterator[Both]:
    async with a_door() as door, httpx.AsyncClient(base_url=prometheus, trust_env=False, timeout=20) as theirs:
        for stream_id, windows in measured.items():
            await door.add(stream_id, *windows, labels=STREAMS[stream_id])
        yield Both(door, theirs)


def values_of(data: dict[str, Any]) -> dict[frozenset[tuple[str, str]], list[tuple[float, float]]]:
    """Each series' values; what is no number is none, here as in the table."""
    if data["resultType"] == "scalar":
        data = {"result": [{"metric": {}, "value": data["result"]}]}
    found = {}
    for series in data["result"]:
        pairs = [(at, float(value)) for at, value in series.get("values") or [series["value"]]]
        if known := [pair for pair in pairs if not math.isnan(pair[1])]:
            found[frozenset(series["metric"].items())] = known
    return found


def assert_same(ours: Any, theirs: Any) -> None:
    mine, others = values_of(ours), values_of(theirs)
    assert ours["resultType"] == theirs["resultType"]
    assert mine.keys() == others.keys()
    for series, values in others.items():
        assert [at for at, _ in mine[series]] == [at for at, _ in values], series
        assert [value for _, value in mine[series]] == pytest.approx([value for _, value in values], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("query", [*dict.fromkeys(queries())])
async def test_a_query_is_answered_as_prometheus_does(both: Both, query: str) -> None:
    end = AT.timestamp()
    for at in (end, end - 777.25, end - 3 * SPAN_S):
        assert_same(*await both.ask("query", query=query, time=at))
    for start, until, step in ((end - SPAN_S - 600, end + 600, "97s"), (end - 1_800, end - 60, 15), (end, end, "1h")):
        assert_same(*await both.ask("query_range", query=query, start=start, end=until, step=step))


async def test_edges_lie_where_prometheus_has_them(both: Both, measured: dict[str, list[Window]]) -> None:
    last_ms = measured[START][3].at_ms[-1]  # before the gap
    for query in ("iops_stream_queue_depth", "iops_stream_queue_depth offset 1m", "rate(iops_stream_io_errors[5m])"):
        for offset_ms in (0, 60_000, 299_999, 300_000, 300_001, 360_000, 360_001):
            assert_same(*await both.ask("query", query=query, time=(last_ms + offset_ms) / 1000))


async def test_the_best_of_an_instant_come_in_their_order(both: Both) -> None:
    for query in ("topk(4, iops_stream_queue_depth)", "bottomk(3, iops_stream_write_iops)"):
        ours, theirs = await both.ask("query", query=query, time=AT.timestamp())
        assert [each["metric"] for each in ours["result"]] == [each["metric"] for each in theirs["result"]]


async def test_series_and_labels_are_those_that_prometheus_lists(both: Both) -> None:
    when = {"start": (AT - timedelta(hours=3)).timestamp(), "end": AT.timestamp()}
    match = {"match[]": '{__name__=~"iops_stream_(queue_depth|io_errors)",tier=~".+"}', **when}
    for path in ("labels", "label/tier/values", "label/__name__/values", "label/rack/values"):
        ours, theirs = await both.ask(path, **match)
        assert ours == theirs, path
    ours, theirs = await both.ask("series", **match)
    assert sorted(sorted(each.items()) for each in ours) == sorted(sorted(each.items()) for each in theirs)


async def test_what_prometheus_cannot_read_we_cannot_either(both: Both) -> None:
    bad = [
        "",
        "iops_x{",
        "sum(",
        "x[5m",
        "rate(x)",
        "1 == 2",
        "x{a=b}",
        'x{a=~"("}',
        "{}",
        '{a=~".*"}',
        "x +",
        "x offset",
    ]
    bad += [
        'x{a="\\q"}',
        "x[0s]",
        "topk(x)",
        "sum by (a b) (x)",
        "x[5m] offset",
        "1 + bool 2",
        "quantile(x, y)",
        "5 5",
        "€",
    ]
    for query in bad:
        parameters: dict[str, Any] = {"query": query, "time": AT.timestamp()}
        theirs = await both.theirs.get("/api/v1/query", params=parameters)
        assert theirs.status_code == 400, query
        assert (await both.door.ask("query", status=400, **parameters))["errorType"] == "bad_data", query
