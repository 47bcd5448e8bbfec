"""When the issuer's keys are fetched, and what happens while they cannot be had."""

import asyncio
import contextlib

import pytest
from aiohttp import ClientConnectionError, web
from aiohttp.test_utils import TestServer

from iops import clock
from iops.auth import Caller, Role
from iops.errors import IdentityUnavailable, Unauthenticated
from iops.observability import Metrics
from iops.people import open_people
from iops.settings import ServiceSettings
from tests.unit.signing import Identity, a_key, access_claims, document, listed, signed

ANN = Caller("ann", Role.OPERATOR)
TOKEN = signed(access_claims())


async def test_many_who_come_at_once_make_one_fetch() -> None:
    identity = Identity()
    identity.may_answer.clear()
    asked = [asyncio.create_task(identity.people.caller_of(TOKEN)) for _ in range(50)]
    await asyncio.sleep(0)
    identity.may_answer.set()

    assert await asyncio.gather(*asked) == [ANN] * 50
    assert identity.fetched == 1


async def test_one_who_leaves_does_not_end_the_fetch_of_the_others() -> None:
    identity = Identity()
    identity.may_answer.clear()
    first, second = (asyncio.create_task(identity.people.caller_of(TOKEN)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    identity.may_answer.set()

    assert await second == ANN


async def test_a_storm_of_unknown_keys_makes_one_fetch_a_minute() -> None:
    identity = Identity()
    await identity.people.caller_of(TOKEN)
    identity.wait(seconds=60)
    for number in range(200):
        with pytest.raises(Unauthenticated, match="sign in again"):
            await identity.keys.key_of(f"made-up-{number}")

    assert identity.fetched == 2


async def test_a_key_that_the_issuer_adds_is_found() -> None:
    identity = Identity()
    await identity.people.caller_of(TOKEN)
    identity.answer = document(listed("second"))
    identity.wait(seconds=60)

    assert await identity.people.caller_of(signed(access_claims(), key=a_key("second"), kid="second")) == ANN
    with pytest.raises(Unauthenticated):
        await identity.people.caller_of(TOKEN)


async def test_keys_of_an_hour_are_renewed_beside_the_answer() -> None:
    identity = Identity()
    await identity.keys.key_of("first")
    identity.wait(minutes=59)
    await identity.keys.key_of("first")
    assert identity.fetched == 1
    identity.may_answer.clear()

    identity.wait(minutes=1)
    await identity.keys.key_of("first")
    await asyncio.sleep(0)

    assert identity.fetched == 2
    await identity.keys.close()


@pytest.mark.parametrize("answer", [ClientConnectionError(), TimeoutError(), b"<html>", document()])
async def test_old_keys_serve_for_a_day_while_none_can_be_fetched(answer: bytes | Exception) -> None:
    identity = Identity()
    await identity.keys.key_of("first")
    identity.answer = answer

    identity.wait(hours=23)
    await identity.keys.key_of("first")
    await asyncio.sleep(0.001)
    outcome = "away" if isinstance(answer, Exception) else "refused"
    assert identity.failed_fetches(outcome) == 1

    identity.wait(hours=1)
    with pytest.raises(IdentityUnavailable):
        await identity.keys.key_of("first")


async def test_a_key_may_be_a_new_one_while_none_can_be_fetched() -> None:
    identity = Identity()
    await identity.keys.key_of("first")
    identity.answer = ClientConnectionError()
    identity.wait(seconds=60)

    with pytest.raises(IdentityUnavailable) as raised:
        await identity.keys.key_of("second")

    assert (raised.value.status, raised.value.retry_after_s) == (503, 60)


async def test_without_any_key_the_issuer_is_asked_every_five_seconds() -> None:
    identity = Identity()
    identity.answer = ClientConnectionError()
    for _ in range(20):
        with pytest.raises(IdentityUnavailable) as raised:
            await identity.people.caller_of(TOKEN)
    assert (identity.fetched, raised.value.retry_after_s) == (1, 5)
    identity.answer = document(listed())

    identity.wait(seconds=5)

    assert await identity.people.caller_of(TOKEN) == ANN


async def test_a_clock_that_is_set_back_does_not_stop_fetches() -> None:
    identity = Identity()
    await identity.keys.key_of("first")
    identity.answer = document(listed("second"))

    identity.wait(hours=-5)

    assert (await identity.keys.key_of("second")).key_size == 2_048


async def test_a_clock_that_is_set_back_takes_no_key_away() -> None:
    identity = Identity()
    await identity.keys.key_of("first")
    identity.answer = ClientConnectionError()

    identity.wait(seconds=-1)

    assert await identity.people.caller_of(TOKEN) == ANN


async def test_a_clock_that_is_set_back_makes_no_second_fetch_beside_the_first() -> None:
    identity = Identity()
    identity.may_answer.clear()
    first = asyncio.create_task(identity.people.caller_of(TOKEN))
    await asyncio.sleep(0)
    identity.wait(seconds=-30)
    second = asyncio.create_task(identity.people.caller_of(TOKEN))
    await asyncio.sleep(0)
    identity.may_answer.set()

    assert (await first, await second) == (ANN, ANN)
    assert identity.fetched == 1


async def test_a_service_that_ends_gives_up_its_fetch() -> None:
    identity = Identity()
    identity.may_answer.clear()
    asked = asyncio.create_task(identity.people.caller_of(TOKEN))
    await asyncio.sleep(0.001)

    await identity.keys.close()

    with pytest.raises(IdentityUnavailable):
        await asked


def serving(answer: bytes, *, status: int = 200, **headers: str) -> web.Application:
    async def keys(_: web.Request) -> web.Response:
        return web.Response(body=answer, status=status, headers=headers)

    app = web.Application()
    app.router.add_get("/pool/.well-known/jwks.json", keys)
    app.router.add_get("/elsewhere", keys_elsewhere)
    return app


async def keys_elsewhere(_: web.Request) -> web.Response:
    return web.Response(body=document(listed()))


async def caller_from(app: web.Application) -> Caller:
    async with TestServer(app) as server:
        issuer = str(server.make_url("/pool"))
        settings = ServiceSettings(issuer=issuer, client_ids=("4f1sclient",))
        async with open_people(settings, clock.now, Metrics()) as people:
            assert people is not None
            seconds = clock.now().timestamp()
            return await people.caller_of(signed(access_claims(iss=issuer, exp=seconds + 60, iat=seconds)))


async def test_keys_are_read_where_the_issuer_keeps_them() -> None:
    assert await caller_from(serving(document(listed()))) == ANN


@pytest.mark.parametrize(
    "app",
    [
        serving(b"", status=302, Location="/elsewhere"),
        serving(document(listed()), status=500),
        serving(document(listed()) + b" " * 10_000_000),
    ],
    ids=["redirect", "error", "huge"],
)
async def test_an_answer_that_is_no_document_of_the_issuer_is_not_followed(app: web.Application) -> None:
    with pytest.raises(IdentityUnavailable):
        await caller_from(app)


async def test_without_an_issuer_there_are_no_people() -> None:
    async with open_people(ServiceSettings(), clock.now, Metrics()) as people:
        assert people is None
