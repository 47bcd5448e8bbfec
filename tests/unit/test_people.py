"""Whose tokens are taken, whose are not, and who they make of somebody."""

from typing import Any

import pytest

from iops.auth import Caller, Role
from iops.errors import Forbidden
from iops.people import CACHE_LIMIT
from tests.unit.signing import (
    ISSUER,
    NOW_S,
    Identity,
    access_claims,
    id_claims,
    refusal_of,
    signed,
)

ANN = Caller("ann", Role.OPERATOR)
TOKEN = signed(access_claims())


@pytest.mark.parametrize("claims", [access_claims(), id_claims()], ids=["access", "id"])
async def test_a_token_of_our_pool_is_its_person(claims: dict[str, Any]) -> None:
    assert await Identity().people.caller_of(signed(claims)) == ANN


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        (access_claims(exp=NOW_S - 60), "expired"),
        (access_claims(nbf=NOW_S + 61), "future"),
        (access_claims(iat=NOW_S + 61), "future"),
        (access_claims(iss=ISSUER + "4"), "another issuer"),
        (access_claims(iss=ISSUER + "/"), "another issuer"),
        (access_claims(client_id="other"), "another program"),
        (id_claims(aud="other"), "another program"),
        (id_claims(aud=[]), "another program"),
        (access_claims(client_id=None, aud="4f1sclient"), "another program"),
        (id_claims(aud=None, client_id="4f1sclient"), "another program"),
        (access_claims(token_use="refresh"), "token_use"),
        (access_claims(token_use=None), "token_use"),
        (access_claims(exp=None), "exp"),
        (access_claims(exp=str(NOW_S + 60)), "exp"),
        (access_claims(exp=True), "exp"),
        (access_claims(exp=float("inf")), "exp"),
        (access_claims(sub=None), "sub"),
        (access_claims(sub=""), "sub"),
        (access_claims(iss=None), "iss"),
        (access_claims(iat="yesterday"), "iat"),
        (b"[]", "claims"),
        (b"", "claims"),
        (b"[" * 3_000, "claims"),
    ],
)
async def test_claims_that_are_not_ours_are_refused(claims: dict[str, Any] | bytes, why: str) -> None:
    assert why in await refusal_of(signed(claims))


@pytest.mark.parametrize("claims", [{"exp": NOW_S - 59}, {"nbf": NOW_S + 60}, {"iat": NOW_S + 60}])
async def test_clocks_may_differ_by_a_minute(claims: dict[str, int]) -> None:
    assert await Identity().people.caller_of(signed(access_claims(**claims))) == ANN


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["viewer"], Role.VIEWER),
        (["viewer", "admin", "operator"], Role.ADMIN),
        (["staff", "operator", 7, None, {"admin": 1}, ["admin"]], Role.OPERATOR),
    ],
)
async def test_the_highest_group_is_the_role(groups: list[Any], role: Role) -> None:
    token = signed(access_claims(**{"cognito:groups": groups}))

    assert (await Identity().people.caller_of(token)).role is role


@pytest.mark.parametrize("groups", [None, [], ["Admin"], ["agent"], "admin", {"admin": True}, 3, [["admin"]]])
async def test_somebody_in_no_group_of_ours_is_forbidden(groups: Any) -> None:
    with pytest.raises(Forbidden, match="ask an administrator"):
        await Identity().people.caller_of(signed(access_claims(**{"cognito:groups": groups})))


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        (id_claims(email="ann@example.com", email_verified=True), "ann@example.com"),
        (id_claims(email="boss@example.com", email_verified=False), "ann"),
        (id_claims(email="boss@example.com", email_verified="false"), "ann"),
        (id_claims(email=["a@example.com"], email_verified=True), "ann"),
        (access_claims(username=None), "8f14e45f"),
        (access_claims(username={"a": 1}), "8f14e45f"),
        (access_claims(username="\x1b[31ma\nn\u202en\t "), "[31ma nn"),
        (access_claims(username="n" * 500), "n" * 128),
    ],
)
async def test_a_name_is_proven_short_and_harmless(claims: dict[str, Any], name: str) -> None:
    assert (await Identity().people.caller_of(signed(claims))).name == name


async def test_a_token_that_held_is_believed_for_a_minute() -> None:
    identity = Identity()
    token = signed(access_claims())
    await identity.people.caller_of(token)
    identity.people._issuer = None  # type: ignore[assignment] # a second look would fail

    identity.wait(seconds=59)

    assert await identity.people.caller_of(token) == ANN


async def test_a_token_that_held_is_refused_once_it_expires() -> None:
    identity = Identity()
    token = signed(access_claims(exp=NOW_S + 5))
    await identity.people.caller_of(token)

    identity.wait(seconds=65)

    assert "expired" in await refusal_of(token, identity)


async def test_what_was_verified_takes_a_bounded_memory() -> None:
    identity = Identity()
    for number in range(CACHE_LIMIT + 10):
        identity.people._remember(str(number).encode(), ANN, NOW_S + 60)

    assert len(identity.people._verified) == CACHE_LIMIT
    assert b"9" not in identity.people._verified
