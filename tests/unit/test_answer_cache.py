"""Paid answers kept for a while: bounded, short-lived, and asked for once."""

import asyncio

from iops.observability import Metrics
from services.insights.answer_cache import AnswerCache


class Kitchen:
    """A cache, a clock, and a maker that waits until it may answer."""

    def __init__(self, *, limit: int = 2) -> None:
        self.at_s = 0.0
        self.metrics = Metrics()
        self.cache: AnswerCache[str] = AnswerCache(lambda: self.at_s, self.metrics, limit=limit, ttl_s=10)
        self.made = 0
        self.may_answer = asyncio.Event()
        self.failure: Exception | None = None

    async def make(self) -> str:
        self.made += 1
        await self.may_answer.wait()
        if self.failure:
            raise self.failure
        return f"answer {self.made}"

    def ask(self, key: str = "a") -> "asyncio.Task[tuple[str, bool]]":
        return asyncio.create_task(self.cache.get_or(key, self.make))

    def outcome(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value("iops_explainer_cache_total", {"outcome": name})


async def settle_in() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_askers_of_the_same_make_one_call_and_only_one_has_paid() -> None:
    kitchen = Kitchen()
    askers = [kitchen.ask() for _ in range(5)]
    await settle_in()
    kitchen.may_answer.set()

    answers = await asyncio.gather(*askers)

    assert answers == [("answer 1", False)] + [("answer 1", True)] * 4
    assert await kitchen.ask() == ("answer 1", True)
    assert (kitchen.made, kitchen.outcome("miss"), kitchen.outcome("hit")) == (1, 1, 5)


async def test_a_first_asker_that_is_cancelled_leaves_the_call_to_the_others() -> None:
    kitchen = Kitchen()
    first, second, third = (kitchen.ask() for _ in range(3))
    await settle_in()
    first.cancel()
    await settle_in()
    kitchen.may_answer.set()

    assert [await second, await third] == [("answer 1", False), ("answer 1", True)]
    assert first.cancelled()


async def test_a_call_that_nobody_waits_for_is_cancelled_and_the_next_asker_starts_anew() -> None:
    kitchen = Kitchen()
    asker = kitchen.ask()
    await settle_in()
    asker.cancel()
    late = kitchen.ask()
    await settle_in()
    kitchen.may_answer.set()

    assert await late == ("answer 2", False)
    assert asker.cancelled()
    assert len(asyncio.all_tasks()) == 1


async def test_a_failure_is_of_all_that_waited_and_is_not_kept() -> None:
    kitchen = Kitchen()
    kitchen.failure = OSError("no")
    kitchen.may_answer.set()
    askers = [kitchen.ask() for _ in range(2)]
    failed = await asyncio.gather(*askers, return_exceptions=True)
    kitchen.failure = None

    assert [type(each) for each in failed] == [OSError, OSError]
    assert await kitchen.ask() == ("answer 2", False)


async def test_an_answer_is_kept_for_its_time_and_no_longer() -> None:
    kitchen = Kitchen()
    kitchen.may_answer.set()
    await kitchen.ask()
    kitchen.at_s = 9.9
    assert await kitchen.ask() == ("answer 1", True)
    kitchen.at_s = 10.0
    assert await kitchen.ask() == ("answer 2", False)
    assert (kitchen.outcome("hit"), kitchen.outcome("miss")) == (1, 2)


async def test_what_was_not_used_for_longest_makes_room() -> None:
    kitchen = Kitchen(limit=2)
    kitchen.may_answer.set()
    for key in ("a", "b", "a", "c"):
        await kitchen.ask(key)

    assert [(await kitchen.ask(key))[1] for key in ("a", "c", "b")] == [True, True, False]


async def test_different_questions_do_not_wait_for_one_another() -> None:
    kitchen = Kitchen()
    slow = kitchen.ask("a")
    await settle_in()

    async def quick() -> str:
        return "quick"

    assert await kitchen.cache.get_or("b", quick) == ("quick", False)
    kitchen.may_answer.set()
    await slow
