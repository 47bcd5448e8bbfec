"""The fleet that is priced, and what it makes the system do in a month: requests, units, tokens.

A constant says whether it was measured in this repository (and by what) or is assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cli.cost.line import Quantity
from cli.cost.prices import MONTH_DAYS, MONTH_H, MONTH_S
from cli.cost.screens import screen_reads

MILLION: Final = 1e6
GB: Final = 1e9

# Measured: `python -m bench ingest` (docs/performance.md) and the simulated fleet; a test holds the model to them.
CHUNK_FIXED_BYTES: Final = 135  # of an item: keys, TTL, frame
SAMPLE_BYTES: Final = 20.0
WRITE_UNIT_BYTES: Final = 1024
# Measured: ADR 4, a stream and an hour; the baseline has since grown to 1.2 KB, so it takes two.
HOURLY_READ_UNITS: Final = 7.4 + 10.3
HOURLY_WRITE_UNITS: Final = 3 + 2  # the rollup's row, the baseline's
SEEN_WRITE_UNITS: Final = 3 + 1  # of ingest, each replica: the stream's row with its index, and its place in its group
KEY_WRITE_UNITS: Final = 2  # an agent's key and its index: it was used, noted hourly
# Of insights, once an hour where nothing happens (ADR 2): the stream's row with its index, and its place in the
# history of its risk.
SCORE_WRITE_UNITS: Final = 3 + 1
# Counted in the code that does it.
SCORING_READ_UNITS: Final = 2.0  # a stream and message: its newer chunks and its row, both strong
MEMBERS_READ_UNITS: Final = 0.5  # a message: the streams of its group
MESSAGE_REQUESTS: Final = 3  # sent, received, deleted
SCORING_EVERY_S: Final = 10.0  # at most one message of a group, beside one for what is urgent (ADR 14)
SCORING_WORKERS: Final = 4
LONG_POLL_S: Final = 10.0
ALERT_READS_PER_S: Final = 0.5 * (1 / 0.5 + 1 / 0.5 + 1 / 2)  # half a unit: outbox and courier each 0.5 s, timers 2 s
ABSENCE_READS_PER_MINUTE: Final = 0.5  # a host: its newest chunk
ALERT_QUEUE_REQUESTS_PER_MINUTE: Final = 3 + 2  # counting dead letters, looking for the canary
SECRET_READS_PER_MINUTE: Final = {"ingest": 1, "insights": 2, "alerts": 2}  # documents, each read once a minute
PULSE_WRITES_PER_MINUTE: Final = 2  # of a task; the row stays below 1 KB, and a test says so
# Of an episode: 17 questions for 14 episodes (docs/insights.md); the rest counted in record.py and ADR 9.
QUESTIONS_PER_EPISODE: Final = 17 / 14
INSIGHTS_PER_EPISODE: Final = 3.0
# A transaction doubles: insight and two indexes, outbox row, stream's row. Then one for the history of the risk.
INSIGHT_WRITE_UNITS: Final = 30.0 + 1
ALERT_WRITE_UNITS: Final = 32.0 + 1  # $0.00002 (ADR 9); and what was told, as it went out, 0.7 KB
EPISODE_READ_UNITS: Final = 40.0
PAGES_PER_EPISODE: Final = 0.2  # the page budgets: 0.1 a stream and day at risk 80, 0.5 at 60
EVENTS_PER_PAGE: Final = 2.0  # opened, resolved
# Tokens as docs/insights.md prices them: no real model was asked for it.
TOKENS_IN: Final = 1_500
TOKENS_OUT: Final = 300

# Assumed.
DISKS_PER_HOST: Final = 4  # one agent, one peer group, one key, one request for all of them
EPISODE_S: Final = 600.0  # how long a disk looks bad; its agent then sends at once, at most every 10 s
EARLY_EVERY_S: Final = 10.0
LINE_BYTES: Final = 300  # of a log line, with what CloudWatch adds
FIGURES_BYTES: Final = 500  # of the line a minute that carries a service's metrics; seen: 420
LOGGED_RATIO: Final = 0.01  # of the 202s (IOPS_LOG_RATIO)
REQUEST_BYTES: Final = 2_500
RESPONSE_BYTES: Final = 500
MIRROR_EVERY_S: Final = 2.0  # between two looks at what changed, of streams and of alerts, half a unit each
MIRRORS: Final = 2
MIRROR_WHOLE_EVERY_S: Final = 600.0  # between two reads of every stream's row
STREAM_READ_UNITS: Final = 0.08  # 600 bytes of a row, at half a unit for 4 KB
INSIGHT_BYTES: Final = 6_000  # kept for 90 days, with both indexes
ROLLUP_BYTES: Final = 2_300  # an hour of a stream (ADR 4), kept for 90 days
RISK_BYTES: Final = 200  # an hour of its risk, with the 100 that DynamoDB adds to a row; kept as long
CHUNK_DAYS: Final = 8
KEPT_DAYS: Final = 90
NAT_BYTES_PER_REQUEST: Final = 2_000  # of those to AWS that have no gateway endpoint


class Profile(StrEnum):
    """How much happens to the disks."""

    STEADY = "steady"
    BUSY = "busy"
    NOISY = "noisy"


# Episodes at risk 60 or more, a stream and day. Noisy is what the model's page budget allows on machines it has never
# seen: 0.5 false ones. Busy is a fifth of it, steady one in 50 days: both assumed.
EPISODES_PER_STREAM_DAY: Final = {Profile.STEADY: 0.02, Profile.BUSY: 0.1, Profile.NOISY: 0.5}


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is watched."""

    streams: int = 200
    interval_s: float = 10.0
    profile: Profile = Profile.STEADY
    batch_samples: int = 30  # the agent's default

    @property
    def hosts(self) -> int:
        return math.ceil(self.streams / DISKS_PER_HOST)

    @property
    def samples(self) -> float:
        return self.streams * MONTH_S / self.interval_s

    @property
    def episodes(self) -> float:
        return self.streams * MONTH_DAYS * EPISODES_PER_STREAM_DAY[self.profile]

    @property
    def early_requests(self) -> float:
        """Those that do not wait for their batch to fill."""
        return self.episodes * EPISODE_S / max(EARLY_EVERY_S, self.interval_s)

    @property
    def requests(self) -> float:
        return self.hosts * MONTH_S / (self.interval_s * self.batch_samples) + self.early_requests

    @property
    def messages(self) -> float:
        """To the scorer."""
        return min(self.requests, self.hosts * MONTH_S / SCORING_EVERY_S)


def chunk_units(samples: int) -> int:
    """Write units of one chunk.

    >>> chunk_units(30), chunk_units(44), chunk_units(60)
    (1, 1, 2)
    """
    return math.ceil((CHUNK_FIXED_BYTES + samples * SAMPLE_BYTES) / WRITE_UNIT_BYTES)


def chunk_writes(fleet: Fleet) -> Quantity:
    """Million write units of samples: full batches, those sent early, and one more each hour that a batch crosses."""
    full = fleet.samples / fleet.batch_samples
    crossed = fleet.streams * MONTH_H if fleet.batch_samples > 1 else 0.0
    units = full * chunk_units(fleet.batch_samples) + fleet.early_requests + crossed
    return Quantity(
        units / MILLION,
        f"{fleet.streams} streams, a sample each {fleet.interval_s:g} s: {full:,.0f} chunks of {fleet.batch_samples} at"
        f" {chunk_units(fleet.batch_samples)} + {crossed:,.0f} that cross an hour + {fleet.early_requests:,.0f} early",
    )


def row_writes(fleet: Fleet, *, ingest_tasks: float, all_tasks: float) -> Quantity:
    """Million write units of everything that is no sample."""
    hourly = SEEN_WRITE_UNITS * ingest_tasks + SCORE_WRITE_UNITS + HOURLY_WRITE_UNITS
    episode = INSIGHTS_PER_EPISODE * INSIGHT_WRITE_UNITS + PAGES_PER_EPISODE * EVENTS_PER_PAGE * ALERT_WRITE_UNITS
    keys = fleet.hosts * MONTH_H * KEY_WRITE_UNITS
    pulses = all_tasks * MONTH_H * 60 * PULSE_WRITES_PER_MINUTE
    units = fleet.streams * MONTH_H * hourly + keys + pulses + fleet.episodes * episode
    episodes = f"{fleet.episodes:,.0f} episodes x {episode:.0f}"
    how = f"{fleet.streams} streams x 730 h x {hourly:g} + keys {keys:,.0f} + pulses {pulses:,.0f} + {episodes}"
    return Quantity(units / MILLION, how)


def reads(fleet: Fleet, *, insights_tasks: float, alerts_tasks: float) -> Quantity:
    """Million read units."""
    scoring = fleet.messages * (MEMBERS_READ_UNITS + SCORING_READ_UNITS * DISKS_PER_HOST)
    hourly = fleet.streams * MONTH_H * HOURLY_READ_UNITS * insights_tasks
    absence = fleet.hosts * MONTH_S / 60 * ABSENCE_READS_PER_MINUTE * insights_tasks
    keys = min(fleet.requests, fleet.hosts * MONTH_S / 60)
    alerts = MONTH_S * ALERT_READS_PER_S * alerts_tasks
    screens = screen_reads(fleet.streams)
    whole = MONTH_S / MIRROR_WHOLE_EVERY_S * fleet.streams * STREAM_READ_UNITS
    mirrors = insights_tasks * (MONTH_S / MIRROR_EVERY_S * MIRRORS * 0.5 + whole)
    units = scoring + hourly + absence + keys + alerts + screens + mirrors + fleet.episodes * EPISODE_READ_UNITS
    how = (
        f"scoring {scoring / MILLION:.2f} + baselines and rollups {hourly / MILLION:.2f} + silent hosts"
        f" {absence / MILLION:.2f} + keys {keys / MILLION:.2f} + outbox and timers {alerts / MILLION:.2f} + screens"
        f" {screens / MILLION:.2f} + the fleet in memory {mirrors / MILLION:.2f}"
    )
    return Quantity(units / MILLION, how)


def stored_gb(fleet: Fleet) -> Quantity:
    """What the table holds when all has expired that may."""
    samples = fleet.streams * CHUNK_DAYS * 86_400 / fleet.interval_s
    chunks = samples * (SAMPLE_BYTES + CHUNK_FIXED_BYTES / fleet.batch_samples)
    rollups = fleet.streams * KEPT_DAYS * 24 * (ROLLUP_BYTES + RISK_BYTES)
    insights = fleet.episodes / MONTH_DAYS * KEPT_DAYS * INSIGHTS_PER_EPISODE * INSIGHT_BYTES
    how = f"chunks of {CHUNK_DAYS} days {chunks / GB:.2f} + {KEPT_DAYS} days of rollups {rollups / GB:.2f} + insights"
    return Quantity((chunks + rollups + insights) / GB, how)
