"""Who may come in: which credential counts, what a session may change, and how often an address may miss."""

from __future__ import annotations

from typing import Any

import pytest

from iops.auth import Caller, Role
from iops.errors import Forbidden, TableUnavailable, Unauthenticated, Unavailable
from iops.gate import CALLER, OpenGate
from tests.unit.fakes import aws_error
from tests.unit.keyrings import Ring, a_key, a_request
from tests.unit.signing import Identity, access_claims, signed

ORIGIN = "https://iops.example.com"
ANN = Caller("ann", Role.OPERATOR)


class People:
    """Knows one token."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def caller_of(self, token: str, /) -> Caller:
        self.asked.append(token)
        if token != "eyJ.ann":
            raise Unauthenticated("this token is nobody's")
        return ANN

    def remembers(self, token: str, /) -> bool:
        return token == "eyJ.ann" and token in self.asked


async def refused(ring: Ring, *headers: tuple[str, str], **request: Any) -> str:
    with pytest.raises(Unauthenticated) as error:
        await ring.gate.admit(a_request(*headers, **request), Role.VIEWER)
    return error.value.detail


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.AGENT, {Role.AGENT}),
        (Role.VIEWER, {Role.VIEWER}),
        (Role.OPERATOR, {Role.VIEWER, Role.OPERATOR}),
        (Role.ADMIN, {Role.AGENT, Role.VIEWER, Role.OPERATOR, Role.ADMIN}),
    ],
)
@pytest.mark.parametrize("asked", Role)
async def test_a_role_opens_what_it_is_for_and_nothing_else(role: Role, may: set[Role], asked: Role) -> None:
    ring = Ring()
    key = ring.add(role)
    for _ in range(2):  # cold, then known
        if asked in may:
            assert (await ring.gate.admit(a_request(("x-api-key", key)), asked)).role is role
        else:
            with pytest.raises(Forbidden):
                await ring.gate.admit(a_request(("x-api-key", key)), asked)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer  "])
async def test_a_key_may_come_as_bearer(scheme: str) -> None:
    ring = Ring()
    key = ring.add(Role.VIEWER)

    for _ in range(2):
        caller = await ring.gate.admit(a_request(("authorization", scheme + key)), Role.VIEWER)
    assert caller.role is Role.VIEWER


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "{key}", "Foobar {key}", "Basic  {key}"]
)
async def test_what_is_no_bearer_is_refused_also_where_its_key_is_known(authorization: str) -> None:
    ring = Ring()
    key = ring.add(Role.ADMIN)
    await ring.keys.caller_of(key.encode())

    await refused(ring, ("authorization", authorization.format(key=key)))


async def test_of_two_headers_x_api_key_counts_cold_and_known_whatever_their_order() -> None:
    ring = Ring()
    viewer, admin = ring.add(Role.VIEWER), ring.add(Role.ADMIN)
    headers = [("authorization", f"Bearer {admin}"), ("x-api-key", viewer)]

    for _ in range(2):
        for given in (headers, headers[::-1]):
            assert (await ring.gate.admit(a_request(*given), Role.VIEWER)).role is Role.VIEWER
            await ring.keys.caller_of(admin.encode())


async def test_a_wrong_x_api_key_is_not_made_good_by_another_header() -> None:
    ring = Ring()
    key, _ = a_key()

    await refused(ring, ("x-api-key", key), ("authorization", f"Bearer {ring.add(Role.ADMIN)}"))


async def test_whatever_is_no_key_is_asked_of_people() -> None:
    people = People()
    ring = Ring(people=people)

    for header in (
        ("authorization", "Bearer eyJ.ann"),
        ("x-api-key", "eyJ.ann"),
        ("cookie", "__Host-iops_session=eyJ.ann"),
    ):
        scope = a_request(header)
        assert await ring.gate.admit(scope, Role.OPERATOR) == ANN
        assert scope[CALLER] == ANN
    assert people.asked == ["eyJ.ann"] * 3
    assert ring.reads == 0


async def test_nobody_is_let_in_without_a_credential_and_is_told_how() -> None:
    for headers in ([], [("cookie", "other=1; iops_sessions=x")], [("x-api-key", "")], [("cookie", "iops_session=")]):
        assert "X-API-Key" in await refused(Ring(), *headers)


@pytest.mark.parametrize(
    ("origin", "name", "is_let_in"),
    [
        (ORIGIN, "__Host-iops_session", True),
        (ORIGIN, "iops_session", False),  # a page of a neighbouring host could have planted it
        ("http://127.0.0.1:8080", "iops_session", True),
        ("http://127.0.0.1:8080", "__Host-iops_session", False),  # no browser takes it without https
    ],
)
async def test_a_session_may_hold_a_key_under_the_name_of_its_scheme(origin: str, name: str, is_let_in: bool) -> None:
    ring = Ring(origin=origin)
    headers = ("cookie", f"a=b; {name}={ring.add(Role.VIEWER)}")

    if is_let_in:
        assert (await ring.gate.admit(a_request(headers), Role.VIEWER)).role is Role.VIEWER
    else:
        await refused(ring, headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY"])
@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        (ORIGIN, True),
        (None, False),
        ("", False),
        ("null", False),
        ("https://evil.example", False),
        ("http://iops.example.com", False),
        (ORIGIN + ".evil.example", False),
        (ORIGIN + ":8443", False),
        ("\xff", False),
    ],
)
async def test_a_session_changes_things_from_our_own_pages_only(
    method: str, origin: str | None, is_let_in: bool
) -> None:
    ring = Ring()
    headers = [("cookie", f"__Host-iops_session={ring.add(Role.ADMIN)}")]
    headers += [("origin", origin)] if origin is not None else []

    if is_let_in:
        await ring.gate.admit(a_request(*headers, method=method), Role.ADMIN)
    else:
        with pytest.raises(Forbidden):
            await ring.gate.admit(a_request(*headers, method=method), Role.ADMIN)
        assert ring.reads == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_session_reads_from_anywhere(method: str) -> None:
    ring = Ring()
    cookie = ("cookie", f"__Host-iops_session={ring.add(Role.VIEWER)}")

    await ring.gate.admit(a_request(cookie, ("origin", "https://evil.example"), method=method), Role.VIEWER)


async def test_a_key_in_a_header_changes_things_from_anywhere() -> None:
    ring = Ring()
    key = ("x-api-key", ring.add(Role.ADMIN))

    await ring.gate.admit(a_request(key, ("origin", "https://evil.example"), method="POST"), Role.ADMIN)


async def test_an_address_that_misses_too_often_is_told_to_wait_and_asks_the_table_no_more() -> None:
    ring = Ring()
    for _ in range(60):
        await refused(ring, ("x-api-key", a_key()[0]))
    reads = ring.reads

    with pytest.raises(Unavailable) as error:
        await ring.gate.admit(a_request(("x-api-key", a_key()[0])), Role.VIEWER)
    assert (reads, ring.reads, error.value.status, error.value.retry_after_s) == (60, 60, 503, 30)
    await refused(ring, ("x-api-key", a_key()[0]), address="10.0.0.8")
    ring.pass_s(2)
    await refused(ring, ("x-api-key", a_key()[0]))
    with pytest.raises(Unavailable):
        await ring.gate.admit(a_request(("x-api-key", a_key()[0])), Role.VIEWER)


async def test_a_good_key_goes_on_beside_one_that_misses_from_the_same_address() -> None:
    ring = Ring()
    key = ("x-api-key", ring.add(Role.VIEWER))
    await ring.gate.admit(a_request(key), Role.VIEWER)
    for _ in range(60):
        await refused(ring, ("x-api-key", a_key()[0]))

    ring.pass_s(60)  # it has to be read again
    for _ in range(60):
        try:
            await ring.gate.admit(a_request(("x-api-key", a_key()[0])), Role.VIEWER)
        except (Unauthenticated, Unavailable):
            continue
    await ring.gate.admit(a_request(key), Role.VIEWER)


async def test_a_person_goes_on_beside_who_misses_from_the_same_address() -> None:
    identity = Identity()
    ring = Ring(people=identity.people)
    ann = ("authorization", f"Bearer {signed(access_claims())}")
    await ring.gate.admit(a_request(ann), Role.OPERATOR)
    for _ in range(60):
        await refused(ring, ("authorization", "Bearer eyJ.made.up"))
    identity.wait(seconds=61)  # the token has to be looked at again

    assert (await ring.gate.admit(a_request(ann), Role.OPERATOR)).name == "ann"
    with pytest.raises(Unavailable):
        await ring.gate.admit(a_request(("authorization", "Bearer eyJ.made.up")), Role.VIEWER)


async def test_a_token_that_ended_is_not_remembered() -> None:
    identity = Identity()
    token = signed(access_claims(exp=int(identity.at.timestamp()) + 30))
    await identity.people.caller_of(token)
    assert identity.people.remembers(token)
    identity.wait(seconds=91)
    with pytest.raises(Unauthenticated):
        await identity.people.caller_of(token)

    assert not identity.people.remembers(token)


async def test_many_addresses_that_miss_are_remembered_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iops.allowance.NAMES_LIMIT", 20)
    ring = Ring()
    for number in range(100):
        await refused(ring, ("x-api-key", "iops_x"), address=f"10.0.0.{number}")

    assert len(ring.gate._misses._left) == 20


async def test_a_table_that_is_away_is_no_miss_and_lets_nobody_in() -> None:
    ring = Ring()
    key = ring.add(Role.ADMIN)
    ring.table.failures["GetItem"].extend(aws_error("ThrottlingException") for _ in range(4))

    with pytest.raises(TableUnavailable):
        await ring.gate.admit(a_request(("x-api-key", key)), Role.VIEWER)
    assert len(ring.gate._misses._left) == 0


@pytest.mark.parametrize(("server", "is_let_in"), [
    ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False), ("0.0.0.0", False),
    ("localhost", True), ("", False), ("::ffff:10.0.0.1", False),
])  # fmt: skip
async def test_off_serves_loopback_only_whatever_a_request_says_of_itself(server: str, is_let_in: bool) -> None:
    scope = a_request(("host", "127.0.0.1"), ("x-forwarded-for", "127.0.0.1"), server=server, address="127.0.0.1")

    if is_let_in:
        assert (await OpenGate().admit(scope, Role.ADMIN)).role is Role.ADMIN
    else:
        with pytest.raises(Forbidden, match="IOPS_AUTH=off"):
            await OpenGate().admit(scope, Role.VIEWER)
