"""What is said of pins with a known vulnerability, and of a registry that knows of none, or is not there."""

import json
from collections.abc import Mapping

import httpx

from tests.pins import Pin
from tests.vulnerabilities import NO_DATA, NO_REGISTRY, audit

NAMES = ("anyio", "attrs", "certifi", "idna", "jinja2")
PINS = [Pin(name, "1.0", ("0" * 64,), ()) for name in NAMES]
KNOWN: dict[str, object] = {  # one entry as PyPI's JSON API gives it
    "aliases": ["CVE-2024-22195", "GHSA-h5c8-rqwp-cp95"],
    "details": "Jinja is an extensible templating engine. [...]",
    "fixed_in": ["3.1.3"],
    "id": "PYSEC-2024-1",
    "link": "https://osv.dev/vulnerability/PYSEC-2024-1",
    "source": "osv",
    "summary": None,
    "withdrawn": None,
}


class Registry:
    """A registry that knows what it was given, and counts what it is asked."""

    def __init__(self, answers: Mapping[str, httpx.Response | Exception]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        _, kind, name, version, form = request.url.path.split("/")
        assert (kind, version, form) == ("pypi", "1.0", "json")
        self.asked.append(name)
        answer = self.answers.get(name, httpx.Response(404))
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(*vulnerabilities: Mapping[str, object]) -> httpx.Response:
    return httpx.Response(200, content=json.dumps({"info": {}, "vulnerabilities": vulnerabilities}))


def ask(registry: Registry) -> tuple[list[str], bool]:
    with httpx.Client(transport=httpx.MockTransport(registry), base_url="https://registry.example") as client:
        return audit(PINS, client)


def test_a_vulnerable_pin_is_named_with_the_version_that_fixes_it() -> None:
    lines, found = ask(Registry({name: answer() for name in NAMES} | {"jinja2": answer(KNOWN)}))

    assert found
    assert lines == [
        "jinja2 1.0: PYSEC-2024-1 CVE-2024-22195 GHSA-h5c8-rqwp-cp95, fixed in 3.1.3",
        "5 of 5 pins checked, 1 vulnerabilities known",
    ]


def test_a_vulnerability_without_a_fix_is_found_and_a_withdrawn_one_is_not() -> None:
    open_one, withdrawn = KNOWN | {"fixed_in": []}, KNOWN | {"withdrawn": "2024-02-01T00:00:00Z"}

    lines, found = ask(Registry({"anyio": answer(open_one), "idna": answer(withdrawn)}))

    assert found
    assert lines[0].startswith("anyio 1.0: ")
    assert lines[0].endswith("fixed in no version yet")
    assert lines[2] == "2 of 5 pins checked, 1 vulnerabilities known"


def test_a_registry_without_the_data_is_said_after_three_pins() -> None:
    registry = Registry({})

    assert ask(registry) == ([NO_DATA], False)
    assert registry.asked == ["anyio", "attrs", "certifi"]


def test_a_page_that_is_not_the_api_is_no_data() -> None:
    page = {name: httpx.Response(200, html="<h1>Sign in</h1>") for name in NAMES}

    assert ask(Registry(page)) == ([NO_DATA], False)


def test_a_registry_out_of_reach_is_said_and_passes() -> None:
    for trouble in (httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.Response(503)):
        assert ask(Registry({"anyio": trouble})) == ([NO_REGISTRY], False)


def test_a_pin_without_an_answer_is_named_and_the_others_are_checked() -> None:
    answers = {name: answer() for name in NAMES}

    lines, found = ask(Registry(answers | {"attrs": httpx.Response(404), "idna": httpx.ReadTimeout("slow")}))

    assert not found
    assert lines == [
        "not checked, the registry gave no answer: attrs 1.0, idna 1.0",
        "3 of 5 pins checked, 0 vulnerabilities known",
    ]


def test_what_was_found_is_told_though_the_registry_breaks_off() -> None:
    lines, found = ask(Registry({"anyio": answer(KNOWN)} | {name: httpx.ReadTimeout("slow") for name in NAMES[1:]}))

    assert found
    assert lines[0].startswith("anyio 1.0: PYSEC-2024-1")


def test_what_a_registry_writes_cannot_steer_the_terminal() -> None:
    lines, _ = ask(Registry({"anyio": answer(KNOWN | {"aliases": [], "id": "\x1b[2JPYSEC-1", "fixed_in": ["2\n"]})}))

    assert lines[0] == "anyio 1.0: [2JPYSEC-1, fixed in 2"
