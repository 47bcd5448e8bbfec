"""An event loop on which nobody waits: when all tasks sleep, its clock jumps to the next one that wakes."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

Arguments = ParamSpec("Arguments")


class _JumpingSelector(selectors.DefaultSelector):
    """Adds up the time it was asked to wait instead of waiting."""

    now_s: float = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self.now_s += timeout
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def in_virtual_time(
    test: Callable[Arguments, Coroutine[Any, Any, None]],
) -> Callable[Arguments, None]:
    """Runs an async test on such a loop; not for what uses threads or sockets, which know only real time."""

    @functools.wraps(test)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def now_s() -> float:
    """The running loop's clock."""
    return asyncio.get_running_loop().time()


async def until(condition: Callable[[], bool], *, within_s: float = 60) -> None:
    """Waits for a condition in short naps; TimeoutError where it does not come."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - a fake has no event to wait for
            await asyncio.sleep(0.01)


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """Cancels a task and waits until it has ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
