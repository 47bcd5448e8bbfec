"""What ingest can take on this machine: how fast, how late, at what CPU and memory, and what storing it costs."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.settings import AgentSettings
from bench import processes
from bench.bodies import DAY_MS, STEP_MS, Sent, fleet_of, requests
from bench.check import count_missing
from bench.cost import measure_density, monthly_write_usd
from bench.figures import Round, Rounds, open_loop_figures
from bench.load import Client, Request, Tally
from bench.overload import Overload, overload_figures
from bench.recording import load_windows, without_percentiles
from local.supervisor import Supervisor
from ml.simulate import Stream

STREAMS: Final = 200
CONNECTIONS: Final = 64  # of a closed loop
OPEN_CONNECTIONS: Final = 200  # of an open loop, one a stream
CHUNK_SAMPLES: Final = 60
ROUNDS: Final = 3
ROUND_S: Final = 3.0
WARM_UP_S: Final = 1.0
STEADY_RPS: Final = 2_000.0
BURST_RPS: Final = 4_000.0
PRICED_SAMPLES_PER_S: Final = (0.1, 1.0, 10.0)


@dataclass(frozen=True, slots=True)
class Options:
    """How long, and on which recording."""

    steady_s: float
    burst_s: float
    overload_s: float
    data_dir: Path


@dataclass(frozen=True, slots=True)
class Result:
    """The figures, and the open loops that the chart draws."""

    figures: dict[str, Any]
    steady: Tally
    burst: Tally
    overload: Tally

    @property
    def has_losses(self) -> bool:
        """Whether a sample was acknowledged and is not there, or was never acknowledged."""
        unsettled = sum(len(tally.refused) + tally.unanswered for tally in (self.steady, self.burst, self.overload))
        return bool(self.figures["missing_in_table"] or unsettled)


class Bench:
    """One run: the servers, and everything that was acknowledged."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.table_port, self.ingest_port, self.ceiling_port = (processes.free_port() for _ in range(3))
        supervisor.start(processes.table_double(self.table_port))
        supervisor.start(processes.ingest(self.ingest_port, self.table_port))
        supervisor.start(processes.web("ceiling", "bench.ceiling:create_app", self.ceiling_port))
        self.pids = supervisor.pids
        self.acknowledged: list[Sent] = []

    async def closed_rounds(self, streams: Sequence[Stream]) -> tuple[Rounds, Rounds, Rounds]:
        """Ceiling, single and rows in turns, so that what else the machine does disturbs them alike."""
        now_ms = int(time.time() * 1000)
        single = requests(streams, count=1, begin_ms=now_ms - 3 * DAY_MS, step_ms=STEP_MS)
        rows = requests(streams, count=CHUNK_SAMPLES, begin_ms=now_ms - 6 * DAY_MS, step_ms=STEP_MS)
        bare = requests(streams, count=1, begin_ms=now_ms, step_ms=STEP_MS)
        kinds: list[tuple[str, int, Iterator[Request]]] = [
            ("ceiling", self.ceiling_port, bare),
            ("ingest", self.ingest_port, single),
            ("ingest", self.ingest_port, rows),
        ]
        for name, port, bodies in kinds:
            await self._round(name, port, bodies, duration_s=WARM_UP_S)
        measured: list[list[Round]] = [[], [], []]
        for _ in range(ROUNDS):
            for found, (name, port, bodies) in zip(measured, kinds, strict=True):
                found.append(await self._round(name, port, bodies, duration_s=ROUND_S))
        return Rounds(measured[0]), Rounds(measured[1]), Rounds(measured[2])

    async def open_loop(
        self, bodies: Iterator[Request], *, rate: float, duration_s: float
    ) -> tuple[Tally, dict[str, Any]]:
        """A rate that does not wait for the server; with it the cores that everybody kept busy."""
        before_s = self._cpu_s()
        begin_s = time.perf_counter()
        async with Client(self.ingest_port, connections=OPEN_CONNECTIONS) as client:
            tally = await client.open_loop(bodies, rate=rate, duration_s=duration_s)
        elapsed_s = time.perf_counter() - begin_s
        self._note(tally)
        used = {name: round((after - before_s[name]) / elapsed_s, 2) for name, after in self._cpu_s().items()}
        return tally, open_loop_figures(tally, rate=rate) | {"streams": STREAMS, "busy_cores": used}

    def _cpu_s(self) -> dict[str, float]:
        """What each program has used so far. Latency on a machine whose other programs are busy tells of them, too."""
        ours = {
            "ingest": processes.cpu_s(self.pids["ingest"]),
            "table_double": processes.cpu_s(self.pids["table-double"]),
            "sender": time.process_time(),
        }
        return ours | {"other_programs": processes.machine_cpu_s() - sum(ours.values())}

    async def _round(self, name: str, port: int, bodies: Iterator[Request], *, duration_s: float) -> Round:
        server, table = self.pids[name], self.pids["table-double"]
        async with Client(port, connections=CONNECTIONS) as client:
            server_cpu_s, table_cpu_s = processes.cpu_s(server), processes.cpu_s(table)
            tally = await client.closed_loop(bodies, duration_s=duration_s)
        if tally.refused or not tally.succeeded:
            raise BenchFailed(f"{name} answered {dict(tally.answered)}")
        if name == "ingest":
            self._note(tally)
        return Round(
            requests=tally.succeeded,
            samples=sum(sent.count for sent in tally.acknowledged if isinstance(sent, Sent)),
            elapsed_s=tally.elapsed_s,
            server_cpu_s=processes.cpu_s(server) - server_cpu_s,
            table_cpu_s=processes.cpu_s(table) - table_cpu_s,
        )

    def _note(self, tally: Tally) -> None:
        self.acknowledged += [sent for sent in tally.acknowledged if isinstance(sent, Sent)]


class BenchFailed(Exception):
    """There is nothing to report."""


async def measure(options: Options) -> Result:
    """About the two open loops' time and a minute more."""
    say(f"sizes on {options.data_dir}")
    sizes = storage_figures(options.data_dir)
    streams = fleet_of(STREAMS, name="bench")
    with processes.supervised() as (supervisor, _):
        bench = Bench(supervisor)
        gc.freeze()
        gc.disable()  # a pause of ours would look like one of the server's
        say(f"{ROUNDS} rounds of {ROUND_S:g} s each: ceiling, 1 sample, {CHUNK_SAMPLES} samples")
        ceiling, single, rows = await bench.closed_rounds(streams)
        now_ms = int(time.time() * 1000)
        bodies = requests(streams, count=1, begin_ms=now_ms - DAY_MS, step_ms=STEP_MS)
        say(f"steady: {STEADY_RPS:g} requests/s for {options.steady_s:g} s")
        steady, steady_figures = await bench.open_loop(bodies, rate=STEADY_RPS, duration_s=options.steady_s)
        say(f"burst: {BURST_RPS:g} requests/s for {options.burst_s:g} s")
        burst, burst_figures = await bench.open_loop(bodies, rate=BURST_RPS, duration_s=options.burst_s)
        peak_rss_mb = round(processes.peak_rss_bytes(supervisor.pids["ingest"]) / 1e6, 1)
        acknowledged = sum(sent.count for sent in bench.acknowledged)
        say(f"looking for {acknowledged} acknowledged samples in the table")
        missing = await count_missing(processes.url_of(bench.table_port), bench.acknowledged)
    overload = await measure_overload(streams, duration_s=options.overload_s)
    gc.enable()
    figures = {
        **closed_figures(ceiling, single, rows),
        "steady": steady_figures,
        "burst": burst_figures,
        "overload": overload_figures(overload),
        "settings": processes.passed_on(),
        "acknowledged_samples": acknowledged,
        "missing_in_table": missing,
        "peak_rss_mb": peak_rss_mb,
        **sizes,
    }
    return Result(figures, steady, burst, overload)


async def measure_overload(streams: Sequence[Stream], *, duration_s: float) -> Tally:
    """Its own servers, because it fills what they may hold."""
    say(f"overload: a table that takes half, for {duration_s:g} s, and until all of it is in")
    with processes.supervised() as (supervisor, _):
        return await Overload(supervisor).run(streams, duration_s=duration_s)


def closed_figures(ceiling: Rounds, single: Rounds, rows: Rounds) -> dict[str, Any]:
    """How fast, and at what CPU of the server's process."""
    return {
        "ceiling_rps": round(ceiling.requests_per_s),
        "single_rps": round(single.requests_per_s),
        "rows_per_s": round(rows.samples_per_s),
        "rows_per_s_per_core": round(1e6 / rows.cpu_us_per_sample),
        "single_to_ceiling_ratio": round(single.requests_per_s / ceiling.requests_per_s, 3),
        "single_to_ceiling_cpu_ratio": round(ceiling.cpu_us_per_request / single.cpu_us_per_request, 3),
        "cpu_us": {
            "ceiling_request": round(ceiling.cpu_us_per_request, 1),
            "single_request": round(single.cpu_us_per_request, 1),
            "single_sample": round(single.cpu_us_per_sample, 1),
            "rows_request": round(rows.cpu_us_per_request, 1),
            "rows_sample": round(rows.cpu_us_per_sample, 2),
            "table_double_per_single_request": round(single.table_cpu_us_per_request, 1),
            "table_double_per_rows_request": round(rows.table_cpu_us_per_request, 1),
        },
    }


def storage_figures(data_dir: Path) -> dict[str, Any]:
    """Bytes, write units and dollars: a chunk of 60 for the size, the agent's default batch for the price."""
    source, windows = load_windows(data_dir)
    told_by_agent = [without_percentiles(window) for window in windows]
    batch_samples = int(AgentSettings.model_fields["batch_samples"].default)
    whole = measure_density(windows, chunk_samples=CHUNK_SAMPLES)
    told = measure_density(told_by_agent, chunk_samples=CHUNK_SAMPLES)
    batched = measure_density(told_by_agent, chunk_samples=batch_samples)
    return {
        "sizes_of": source,
        "bytes_per_sample": round(whole.bytes_per_sample, 2),
        "bytes_per_sample_without_percentiles": round(told.bytes_per_sample, 2),
        "write_units_per_million_samples": round(whole.write_units_per_million_samples),
        "agent_batch_samples": batch_samples,
        "monthly_write_usd": {
            f"{rate:g}/s": round(
                monthly_write_usd(
                    streams=STREAMS,
                    samples_per_s=rate,
                    write_units_per_million_samples=batched.write_units_per_million_samples,
                ),
                2,
            )
            for rate in PRICED_SAMPLES_PER_S
        },
    }


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
