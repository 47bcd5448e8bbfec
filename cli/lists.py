"""The lists that the server keeps, as tables or JSON: streams, insights, alerts."""

from __future__ import annotations

from collections.abc import Sequence

from cli.outcome import Outcome
from cli.screen import instant, plain, print_json, print_table
from cli.server import Row, Server, Transport


async def show_streams(url: str, *, limit: int, as_json: bool, transport: Transport | None) -> Outcome:
    """Streams, the worst first."""
    async with Server(url, transport=transport) as server:
        streams = await server.read_items("/streams", limit=limit)
    streams.sort(key=lambda stream: (-_risk(stream), str(stream.get("stream_id"))))
    busy = ("read/s>", "write/s>", "read ms>", "write ms>", "queue>", "busy>")
    titles = ("risk>", "finding", "stream", *busy, "last sample (UTC)")
    return _show(streams, titles, [_stream_cells(stream) for stream in streams], as_json=as_json)


async def show_insights(url: str, *, limit: int, as_json: bool, transport: Transport | None) -> Outcome:
    """Insights, the newest first."""
    async with Server(url, transport=transport) as server:
        insights = await server.read_items("/insights/recent", limit=limit)
    fields = ("risk_score", "prediction_type", "stream_id", "insight_id")
    rows = [
        [*(plain(i.get(f)) for f in fields), instant(i.get("created_at")), _words_by(i), first_fact(i)]
        for i in insights
    ]
    titles = ("risk>", "finding", "stream", "id", "found (UTC)", "words by", "evidence")
    return _show(insights, titles, rows, as_json=as_json)


async def show_alerts(
    url: str, *, state: str | None, limit: int, as_json: bool, transport: Transport | None
) -> Outcome:
    """Alerts, as the server orders them."""
    async with Server(url, transport=transport) as server:
        alerts = await server.read_items("/alerts", limit=limit, **({"state": state} if state else {}))
    fields = ("risk_score", "state", "prediction_type", "stream_id", "alert_id")
    rows = [[*(plain(a.get(f)) for f in fields), instant(a.get("opened_at")), first_fact(a)] for a in alerts]
    return _show(
        alerts, ("risk>", "state", "finding", "stream", "id", "opened (UTC)", "evidence"), rows, as_json=as_json
    )


def first_fact(finding: Row) -> str:
    """The sentence of the strongest evidence, or the title where there is none."""
    facts = finding.get("facts")
    if isinstance(facts, list) and facts and isinstance(facts[0], dict):
        return plain(facts[0].get("sentence"))
    return plain(finding.get("title"))


def _words_by(insight: Row) -> str:
    return plain(insight.get("explained_by")) + (", disputed" if insight.get("is_disputed") is True else "")


def _show(items: list[Row], titles: Sequence[str], rows: list[list[str]], *, as_json: bool) -> Outcome:
    if as_json:
        print_json({"items": items})
    else:
        print_table(titles, rows)
    return Outcome.OK


def _stream_cells(stream: Row) -> list[str]:
    latest = stream.get("latest")
    sample: Row = latest if isinstance(latest, dict) else {}
    finding = "warming up" if stream.get("warming_up") else ""
    if stream.get("prediction_type"):
        finding = f"{stream['prediction_type']} {f'({finding})' if finding else ''}"
    if quiet := _quiet_types(stream):
        finding = f"{finding} (quiet: {', '.join(quiet)})".strip()
    channels = ("read_iops", "write_iops", "read_await_ms", "write_await_ms", "queue_depth", "utilization_ratio")
    return [
        plain(stream.get("risk_score")),
        plain(finding),
        plain(stream.get("stream_id")),
        *(plain(sample.get(channel)) for channel in channels),
        instant(sample.get("at")),
    ]


def _quiet_types(stream: Row) -> list[str]:
    """What an operator dismissed and is not told of for now."""
    quiet = stream.get("quiet")
    return (
        [str(each.get("prediction_type")) for each in quiet if isinstance(each, dict)]
        if isinstance(quiet, list)
        else []
    )


def _risk(stream: Row) -> float:
    risk = stream.get("risk_score")
    return float(risk) if isinstance(risk, int | float) else -1.0
