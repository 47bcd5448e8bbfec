"""What becomes of a finding: what is written, counted, and given to a language model."""

from collections.abc import Mapping

from iops import items
from iops.insight import Feedback, Finding, Insight, PredictionType, Verdict
from iops.items import Stream
from iops.observability import Metrics
from services.insights.improve import Improver
from services.insights.record import Worth
from services.insights.tell import Teller
from tests.unit.builders import AT, DISK, a_finding, a_stream, a_window, an_insight, clock_at, nothing_wrong
from tests.unit.fakes import FakeTable
from tests.unit.speaking import Speaker, speaking
from tests.unit.test_record import an_ill_stream
from tests.unit.virtual_time import in_virtual_time, now_s, until
from tests.unit.words import WILLING, an_explainer

PEER = "web-1:nvme1n1"


class Desk:
    """A teller with one model, and what it writes."""

    def __init__(self, speaker: Speaker | None = None) -> None:
        self.fake, self.metrics, self.speaker = FakeTable(), Metrics(), speaker or Speaker()
        self.fake.add(items.key_of(DISK, "stream") | {"peer_group": {"S": "web-1"}})
        table = self.fake.table()
        explainer = an_explainer(*speaking(self.speaker), metrics=self.metrics, flags=WILLING, now_s=now_s)
        self.improver = Improver(table, explainer, clock_at(), self.metrics, sets_risk=lambda: False)
        self.teller = Teller(table, clock_at(), self.metrics, self.improver)

    async def tell(
        self, finding: Finding, stream: Stream | None = None, *, others: Mapping[str, Finding] | None = None
    ) -> Worth:
        return await self.teller.tell(stream or a_stream(), {DISK: finding, **(others or {})}, a_window())

    def insights(self) -> list[Insight]:
        return [items.item_to_insight(row) for row in self.fake.of_type("insight")]

    def number(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def ill(self) -> tuple[float, float]:
        """For a model, and for the template."""
        name = "iops_findings_ill_total"
        return self.number(name, words="model"), self.number(name, words="template")


@in_virtual_time
async def test_an_insight_is_stored_at_once_and_reworded_when_the_model_has_answered() -> None:
    desk = Desk()

    worth = await desk.tell(a_finding(90))

    assert worth is Worth.INSIGHT
    assert [each.explained_by for each in desk.insights()] == ["template"]
    await until(lambda: desk.insights()[0].explained_by == "bedrock")
    assert len(desk.fake.of_type("outbox")) == 1


@in_virtual_time
async def test_the_insight_knows_its_ill_peers_and_the_last_word_on_the_like() -> None:
    desk = Desk()
    before = an_insight(insight_id="01")
    said = Feedback(
        feedback_id="02", insight_id="01", verdict=Verdict.DISMISS, created_at=AT, text="a backup; ignore it"
    )
    desk.fake.add(items.insight_item(before), items.word_put(items.Word(said, None), 0)["Item"])

    await desk.tell(a_finding(90), others={PEER: a_finding(70), "web-1:nvme2n1": nothing_wrong()})

    (insight,) = (each for each in desk.insights() if each.insight_id != "01")
    assert insight.peers == 2
    assert [(each.stream_id, each.risk_score) for each in insight.neighbours] == [(PEER, 70)]
    assert insight.earlier is not None
    assert (insight.earlier.insight_id, insight.earlier.verdict) == ("01", Verdict.DISMISS)
    assert insight.earlier.text == "a backup; ignore it"


@in_virtual_time
async def test_findings_at_60_are_counted_by_who_words_them() -> None:
    desk = Desk()

    await desk.tell(nothing_wrong(59.9))
    await desk.tell(a_finding(90), an_ill_stream(90))
    assert desk.ill() == (0, 1)
    await desk.tell(a_finding(90), a_stream(quiet_until={PredictionType.STALL: AT.replace(hour=3)}))
    assert desk.ill() == (0, 2)
    await desk.tell(a_finding(90))
    assert desk.ill() == (1, 2)


@in_virtual_time
async def test_a_step_to_a_page_is_told_in_the_templates_words() -> None:
    desk = Desk()
    desk.fake.add(desk.fake.rows[DISK, "stream"] | {"version": {"N": "1"}, "insight_id": {"S": "01"}})

    assert await desk.tell(a_finding(85), an_ill_stream(79)) is Worth.INSIGHT

    assert desk.improver._waiting == set()
    assert desk.speaker.prompts == []


@in_virtual_time
async def test_a_lost_race_writes_nothing_and_asks_nobody() -> None:
    desk = Desk()
    await desk.tell(a_finding(90))
    await until(lambda: desk.insights()[0].explained_by == "bedrock")

    await desk.tell(a_finding(90))  # by what the row said before

    assert len(desk.insights()) == len(desk.fake.of_type("outbox")) == len(desk.speaker.prompts) == 1
    assert desk.number("iops_insight_races_lost_total") == 1
    assert desk.improver._waiting == set()


@in_virtual_time
async def test_a_recovery_is_the_templates() -> None:
    desk = Desk()
    desk.fake.add(desk.fake.rows[DISK, "stream"] | {"version": {"N": "1"}, "insight_id": {"S": "01"}})

    assert await desk.tell(nothing_wrong(), an_ill_stream(90)) is Worth.RECOVERY

    assert [each.title for each in desk.insights()] == [f"{DISK} has recovered"]
    assert desk.improver._waiting == set()
