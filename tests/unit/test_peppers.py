"""Peppers: which one is current, which still verify, and what a rotation leaves."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iops.peppers import Pepper, Peppers, add_pepper, first_peppers
from iops.redact import secrets_in
from iops.secrets import SecretUnread, parse_document
from tests.secret_documents import PEPPER_ID, the_peppers

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def counting_bytes() -> Callable[[int], bytes]:
    """All of the first answer's are 1, of the second's 2, and so on."""
    numbers = count(1)
    return lambda length: bytes([next(numbers)] * length)


def json_of(document: object) -> bytes:
    return json.dumps(document).encode()


def test_a_pepper_is_known_by_its_id() -> None:
    peppers = the_peppers()

    assert peppers.current == Pepper(PEPPER_ID, b"pepper" * 5 + b"pe")
    assert peppers.of(PEPPER_ID) == peppers.current
    assert peppers.of("2026-11-ffffff") is None


def test_a_rotation_makes_a_new_one_current_and_the_last_three_verify() -> None:
    random_bytes = counting_bytes()
    peppers = first_peppers(NOW, random_bytes)
    for _ in range(3):
        peppers = add_pepper(peppers, NOW, random_bytes)

    assert [each.id for each in peppers.peppers] == ["2026-11-030303", "2026-11-050505", "2026-11-070707"]
    assert peppers.current == Pepper("2026-11-070707", bytes([8] * 32))
    assert peppers.of("2026-11-010101") is None


@given(st.binary(min_size=32, max_size=32))
def test_what_is_revealed_can_be_read_again(value: bytes) -> None:
    peppers = first_peppers(NOW, lambda length: value[:length])

    again = Peppers.model_validate_json(json_of(peppers.reveal()))
    assert again == peppers
    assert again.current.value == value


def test_nothing_that_shows_peppers_shows_a_value() -> None:
    peppers = the_peppers()
    (value,) = secrets_in(peppers)

    shown = f"{peppers!r}{peppers}{peppers.model_dump()}{peppers.model_dump_json()}{peppers.current!r}"
    assert value not in shown
    assert "pepperpepper" not in shown


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "Invalid JSON"),
        (b'{"peppers": [{"value": "verysecret', "Invalid JSON"),
        (b"null", "object"),
        (b"{}", "'peppers': Field required"),
        (b'{"peppers": []}', "'peppers': Tuple should have at least 1 item"),
        (b'{"peppers": [{"id": "a"}]}', "'peppers.0.value': Field required"),
        (b'{"peppers": [{"id": "a", "value": "verysecret"}]}', "'peppers.0.value': Value error, it has to be 32 bytes"),
        (b'{"peppers": [{"id": "a", "value": "verysecr\xc3\xa9t"}]}', "it has to be 32 bytes in base64url"),
        (b'{"peppers": [{"id": "a", "value": 7}]}', "'peppers.0.value': Input should be a valid string"),
        (b'{"peppers": [{"id": "Very Secret", "value": null}]}', "'peppers.0.id': String should match"),
        (b'{"peppers": [], "verysecret": 1}', "'?': Extra inputs"),
        (b'{"peppers": [7, 7, 7, 7, 7, 7, 7]}', "; and 3 more"),
        (b" " * 65_537, "longer than 65536 bytes"),
    ],
)
def test_a_damaged_document_is_refused_and_not_quoted(document: bytes, message: str) -> None:
    with pytest.raises(SecretUnread) as refused:
        parse_document(document, Peppers)

    assert message in refused.value.detail
    assert "very" not in f"{refused.value!r}{refused.value.__context__!r}".lower()


def test_two_of_one_id_are_refused() -> None:
    entry = the_peppers().reveal()["peppers"][0]
    with pytest.raises(SecretUnread, match="an id of its own"):
        parse_document(json_of({"peppers": [entry, entry]}), Peppers)
