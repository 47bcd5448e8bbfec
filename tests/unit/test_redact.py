"""That no secret reaches a log, in whatever it is wrapped."""

import json
import logging
import string
import time

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from iops.observability import configure_logging, hide_in_logs
from iops.redact import HIDDEN, Redactor, secrets_in
from services.alerts.webhook_secrets import WebhookSecret, WebhookSecrets

URLSAFE = string.ascii_letters + string.digits + "-_"
redact = Redactor()

secret = st.text(URLSAFE, min_size=43, max_size=43)
aws_secret = st.tuples(
    st.text(string.ascii_letters + string.digits + "/+", min_size=37, max_size=37),
    st.sampled_from(string.ascii_lowercase),
    st.sampled_from(string.ascii_uppercase),
    st.sampled_from(string.digits),
).map("".join)
# Templates: how a secret stands in a text.
around = st.sampled_from(
    [
        "iops_web-fleet_{}",
        "refused bearer {} here",
        "Authorization: Bearer {}",
        "{{'authorization': 'Basic {}'}}",
        "[(b'x-api-key', b'{}')]",
        'x-api-key: "{}"',
        '"{{\\"Authorization\\": \\"Bearer {}\\"}}"',
        "cookie: a=b; session={}",
        "https://user:{}@host/path",
        "https://{}@host:1/path?x=1",
        "POST https://hooks.slack.com/services/T0/B0/{} refused",
        "aws_secret_access_key={}",
        "https://bucket/key?X-Amz-Signature={}&x=1",
        "wrong password: {}, sorry",
        '{{"password": "two words {}"}}',
        "https://user:it's{}@host",
    ]
)
text = st.text(max_size=20).map(lambda given: given.replace("://", ""))


def wrapped(value: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    """The text in fields, lists, exceptions and dictionaries' keys."""
    return st.recursive(
        st.one_of(value, value.map(ValueError), value.map(str.encode)),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=2),
            st.dictionaries(value, inner, min_size=1, max_size=2),
            st.tuples(inner),
        ),
        max_leaves=4,
    )


@settings(max_examples=40)
@given(st.data(), secret, around)
def test_no_secret_of_a_known_form_is_written(data: st.DataObject, hidden: str, form: str) -> None:
    sentence = text.map(lambda before: f"{before} {form.format(hidden)}")
    value = data.draw(wrapped(sentence))

    assert hidden not in json.dumps(redact(None, "info", {"event": "x", "detail": value}))


@given(aws_secret, text)
def test_an_aws_secret_is_known_by_its_shape(hidden: str, before: str) -> None:
    assert hidden not in redact.text(f"{before} '{hidden}'")


@given(st.text(min_size=8, max_size=60).filter(lambda value: value not in HIDDEN), text)
def test_a_secret_of_the_settings_is_hidden_whatever_it_looks_like(hidden: str, before: str) -> None:
    assert Redactor([hidden]).text(before + hidden).replace(HIDDEN, "").count(hidden) == 0


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "api_key", "openai_api_key", "X-Amz-Security-Token"])
def test_a_field_with_a_secrets_name_is_hidden_at_any_depth(name: str) -> None:
    assert redact(None, "info", {"headers": [{name: ["abc"]}]}) == {"headers": [{name: HIDDEN}]}


@pytest.mark.parametrize("headers", [{b"x-api-key": b"abc"}, [(b"x-api-key", b"abc")], [["X-API-Key", "abc"]]])
def test_headers_are_hidden_as_asgi_and_clients_hold_them(headers: object) -> None:
    assert "abc" not in json.dumps(redact(None, "info", {"headers": headers}))


@pytest.mark.parametrize(
    "plain",
    [
        "iops_canary_age_seconds is 93600",
        "stream web-1:nvme0n1 of group#web-1",
        "http://127.0.0.1:8080/alerts?state=open",
        "3f786850e387550fdabf2b1d0d4d2b4e1a2b3c4d",  # a SHA-1
        "01JD8Y7Z5K3M9QW2E4R6T8Y0AB",
        '{"tokens_in": 812, "tokens_out": 93}',
        "/services/insights/language/models/bedrock/answer",
        "basic performance of gp2",
    ],
)
def test_what_is_no_secret_stays_as_it_is(plain: str) -> None:
    assert redact(None, "info", {"event": plain, "tokens_in": 812, "key": plain}) == {
        "event": plain,
        "tokens_in": 812,
        "key": plain,
    }


def test_an_aws_key_id_is_known_by_its_shape() -> None:
    assert redact.text("signed by AKIAIOSFODNN7EXAMPLE") == f"signed by {HIDDEN}"


def test_which_key_it_was_stays_readable() -> None:
    assert redact.text("iops_web-fleet_" + "x" * 43) == f"iops_web-fleet_{HIDDEN}"


def test_the_secrets_of_settings_are_found_in_what_they_hold() -> None:
    hook = WebhookSecret(url=SecretStr("https://h/1"), key=SecretStr("k" * 16))

    assert secrets_in(WebhookSecrets(webhooks={"team": hook})) == ["https://h/1", "k" * 16]


def test_what_becomes_known_later_is_hidden_too_and_what_was_stays_hidden() -> None:
    learning = Redactor(["first-secret"])
    learning.hide(["second-secret", "short"])

    assert learning.text("first-secret second-secret short") == f"{HIDDEN} {HIDDEN} short"


def test_of_more_than_256_secrets_those_named_last_are_known() -> None:
    learning = Redactor(["in-force", "long-gone"])
    for number in range(300):
        learning.hide([f"rotated-{number}", "in-force"])

    assert learning.text("in-force rotated-299 rotated-45 rotated-44 long-gone") == (
        f"{HIDDEN} {HIDDEN} {HIDDEN} rotated-44 long-gone"
    )


def test_a_secret_that_is_read_while_the_program_runs_is_in_no_later_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test")
    hide_in_logs(["learned-by-and-by"])

    logging.getLogger("uvicorn").error("it was learned-by-and-by")

    assert f"it was {HIDDEN}" in capsys.readouterr().err


def test_a_value_that_holds_itself_ends() -> None:
    ring: list[object] = ["iops_a_" + "s" * 43]
    ring.append(ring)

    assert "s" * 43 not in json.dumps(redact(None, "info", {"ring": ring}))


def test_a_text_made_to_be_slow_is_not() -> None:
    started_s = time.perf_counter()
    for part in ("authorization", "authorization:'", "://a", "iops_a_", "bearer ", "aA", "token=", "cookie: \\"):
        redact.text(part * (100_000 // len(part)) + ":=")
    assert time.perf_counter() - started_s < 1  # it takes 0.05 s; what grows with the square takes minutes


@pytest.mark.parametrize("logger", ["structlog", "somebody", "uvicorn.error"])
def test_both_kinds_of_loggers_hide_it_in_events_fields_and_traces(
    logger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("test", secrets=["hunter2-hunter2"])
    try:
        int("Authorization: Bearer abc.def")
    except ValueError:
        if logger == "structlog":
            structlog.get_logger().exception("failed", url="https://a:b@c", why="hunter2-hunter2")
        else:
            logging.getLogger(logger).exception("failed at %s: %s", "https://a:b@c", "hunter2-hunter2")

    (line,) = capsys.readouterr().err.splitlines()
    assert not [text for text in ("abc.def", "a:b", "hunter2") if text in line]
    assert "ValueError" in json.loads(line)["exception"]
