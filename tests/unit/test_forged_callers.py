"""Nobody comes in with what is nearly a key, nearly a token, or nearly a session: through the apps as they are."""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from iops.auth import Role
from tests.unit.behind_gates import Guarded, guarded
from tests.unit.builders import AT
from tests.unit.keyrings import a_key
from tests.unit.signing import NOW_S, Identity, access_claims, listed, signed, signed_by_hand
from tests.unit.signing import a_key as a_signing_key

PAGES: Final = "https://iops.example.com"  # where the gate of a Ring says our pages are
UNKNOWN: Final = "iops_" + "a" * 16 + "_" + "A" * 43


async def read(guard: Guarded, *headers: tuple[str, str]) -> httpx.Response:
    return await guard.ask("GET", "/streams", *headers)


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


def hmac_with_public_key() -> str:
    public = a_signing_key("first").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return signed_by_hand({"alg": "HS256"}, lambda data: hmac.digest(public, data, "sha256"))


FORGED: Final[dict[str, Any]] = {
    "without a signature": lambda: signed(access_claims(), alg="none"),
    "HS256 with the public key": hmac_with_public_key,
    "expired": lambda: signed(access_claims(exp=NOW_S - 61)),
    "of the future": lambda: signed(access_claims(nbf=NOW_S + 61)),
    "of another pool": lambda: signed(access_claims(iss="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_other")),
    "of another client": lambda: signed(access_claims(client_id="another")),
    "by somebody else": lambda: signed(access_claims(), key=a_signing_key("foreign")),
    "a refresh token": lambda: signed(access_claims(token_use="refresh")),
}


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("carrier", ["bearer", "key", "cookie"])
async def test_a_forged_token_is_a_401_however_it_comes(forged: str, carrier: str) -> None:
    token = FORGED[forged]()
    headers = {"bearer": bearer(token), "key": ("x-api-key", token), "cookie": ("cookie", f"iops_session={token}")}
    guard = guarded("insights", people=Identity(listed()).people)

    response = await read(guard, headers[carrier])

    assert response.status_code == 401
    assert token not in response.text
    assert guard.behind.calls == 0


async def test_somebody_in_none_of_our_groups_is_a_403() -> None:
    guard = guarded("insights", people=Identity().people)

    token = signed(access_claims(**{"cognito:groups": ["agent", "root"]}))

    assert (await read(guard, bearer(token))).status_code == 403


async def test_a_true_token_comes_in_as_bearer_only_with_its_role() -> None:
    guard = guarded("insights", people=Identity().people)
    token = signed(access_claims())

    assert (await read(guard, bearer(token))).status_code == 404  # let in, and there is nothing
    assert (await guard.ask("GET", "/keys", bearer(token))).status_code == 403
    assert (await guard.ask("GET", f"/streams?access_token={token}")).status_code == 401


@pytest.mark.parametrize(
    "ending", [{"revoked_at": AT}, {"expires_at": AT}, {"expires_at": AT - timedelta(days=1)}], ids=str
)
async def test_a_key_that_ended_is_refused_as_one_that_never_was(ending: dict[str, Any]) -> None:
    guard = guarded("insights")
    ended = guard.ring.add(Role.ADMIN, **ending)

    of_ended, of_unknown = await read(guard, ("x-api-key", ended)), await read(guard, ("x-api-key", UNKNOWN))

    assert of_ended.status_code == 401
    assert of_ended.json() == of_unknown.json()


async def test_a_wrong_secret_tells_nobody_that_its_id_exists() -> None:
    """The same words, and the same work: one read of the table each."""
    guard = guarded("insights")
    key = guard.ring.add(Role.ADMIN)
    wrong = key[:22] + "B" * 43
    answers, reads = [], []
    for tried in (wrong, UNKNOWN):
        before = guard.ring.reads
        answers.append(await read(guard, ("x-api-key", tried)))
        reads.append(guard.ring.reads - before)

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()
    assert set(answers[0].headers) == set(answers[1].headers)
    assert reads == [1, 1]


async def test_the_secret_of_one_key_does_not_fit_another() -> None:
    guard = guarded("insights")
    admin, agent = guard.ring.add(Role.ADMIN), guard.ring.add(Role.AGENT)

    assert (await read(guard, ("x-api-key", admin[:22] + agent[22:]))).status_code == 401
    assert (await read(guard, ("x-api-key", a_key(Role.ADMIN)[0]))).status_code == 401  # well made, never stored


@pytest.mark.parametrize("name", ["api_key", "key", "X-API-Key", "access_token", "token"])
async def test_a_key_in_the_address_is_no_key(name: str) -> None:
    guard = guarded("insights")
    key = guard.ring.add(Role.ADMIN)

    assert (await guard.ask("GET", f"/streams?{name}={key}")).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    guard = guarded("insights")

    assert (await read(guard, ("authorization", f"{scheme} {guard.ring.add(Role.VIEWER)}"))).status_code == 404


MANGLED: Final = {
    "another scheme of its length": "Digest {}",
    "basic": "Basic {}",
    "no scheme": "{}",
    "no space": "Bearer{}",
    "a tab": "Bearer\t{}",
    "a word behind it": "Bearer {} x",
    "a comma": "Bearer {},Bearer {}",
    "a NUL before it": "Bearer \0{}",
    "a NUL behind it": "Bearer {}\0",
    "quotes": 'Bearer "{}"',
    "a letter more": "Bearer {}A",
    "very long": "Bearer {}" + "A" * 60_000,
    "upper case": "UPPER",
    "no more than the scheme": "Bearer ",
    "look-alike letters": "Bearer \u0456ops_{}",
}


@pytest.mark.parametrize("is_known", [False, True], ids=["first seen", "remembered"])
@pytest.mark.parametrize("mangled", MANGLED)
async def test_a_key_with_anything_about_it_is_refused(mangled: str, is_known: bool) -> None:
    guard = guarded("insights")
    key = guard.ring.add(Role.ADMIN)
    if is_known:
        assert (await read(guard, ("x-api-key", key))).status_code == 404
    form = MANGLED[mangled]
    value = f"Bearer {key.upper()}" if form == "UPPER" else form.replace("{}", key)

    response = await guard.ask("GET", "/streams", ("authorization", value.encode().decode("latin-1")))

    assert response.status_code == 401
    assert key not in response.text


@pytest.mark.parametrize("is_known", [False, True], ids=["first seen", "remembered"])
@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
@pytest.mark.parametrize("is_true_first", [True, False])
async def test_of_two_credentials_of_one_kind_neither_is_believed(
    name: str, is_true_first: bool, is_known: bool
) -> None:
    """A proxy before us may have read the other one."""
    guard = guarded("insights")
    key = guard.ring.add(Role.ADMIN)
    if is_known:
        assert (await read(guard, ("x-api-key", key))).status_code == 404
    values = (key, UNKNOWN) if is_true_first else (UNKNOWN, key)
    headers = [(name, f"Bearer {value}" if name == "authorization" else value) for value in values]

    assert (await read(guard, *headers)).status_code == 401


ORIGINS: Final = {
    "none": [],
    "foreign": [("origin", "https://evil.example.com")],
    "null": [("origin", "null")],
    "a longer host": [("origin", f"{PAGES}.evil.com")],
    "another port": [("origin", f"{PAGES}:444")],
    "by http": [("origin", "http://iops.example.com")],
    "another case": [("origin", "HTTPS://iops.example.com")],
    "only a referer": [("referer", f"{PAGES}/")],
}


@pytest.mark.parametrize("origin", ORIGINS)
async def test_a_session_changes_nothing_from_a_foreign_page(origin: str) -> None:
    guard = guarded("alerts")
    session = ("cookie", f"__Host-iops_session={guard.ring.add(Role.ADMIN)}")

    response = await guard.ask("POST", "/alerts/01JD/resolve", session, *ORIGINS[origin])

    assert response.status_code == 403
    assert guard.behind.calls == 0


async def test_a_session_reads_anywhere_and_changes_things_from_our_pages() -> None:
    guard = guarded("alerts")
    session = ("cookie", f"a=b; __Host-iops_session={guard.ring.add(Role.ADMIN)}; c")

    assert (await guard.ask("GET", "/alerts", session)).status_code == 404
    assert (await guard.ask("POST", "/alerts/01JD/resolve", session, ("origin", PAGES))).status_code == 404


@pytest.mark.parametrize("cookie", ["session={}", "X-API-Key={}", "{}", "__host-iops_session={}", "iops_session={}"])
async def test_a_key_in_a_cookie_that_is_not_the_session_is_none(cookie: str) -> None:
    """Nor in the one that a page of a neighbouring host could set, where people come by https."""
    guard = guarded("alerts")

    assert (await guard.ask("GET", "/alerts", ("cookie", cookie.format(guard.ring.add(Role.ADMIN))))).status_code == 401
