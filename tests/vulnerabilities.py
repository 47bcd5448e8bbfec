"""Which pins of requirements/*.txt have a known vulnerability, as the registry's JSON API tells; `make audit` says it.

The exit code is 1 only where one was found: a registry without such data, or none in reach, is said and passes.
"""

import argparse
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
from pydantic import BaseModel, ValidationError

from tests.pins import FOLDER, Pin, pins_of

TIMEOUT_S = 5.0
AT_ONCE = 8  # requests; a few, as a polite client
FIRST = 3  # pins; a registry that knows none of these offers nothing, and is not asked for the rest
NO_DATA = "the registry offers no vulnerability data; not checked"
NO_REGISTRY = "the registry cannot be reached; not checked"


class Vulnerability(BaseModel, frozen=True):
    id: str
    aliases: list[str] = []
    fixed_in: list[str] = []
    withdrawn: str | None = None


class _Answer(BaseModel, frozen=True):
    vulnerabilities: list[Vulnerability]


def pins_of_all() -> list[Pin]:
    """Each name and version once, whichever file holds it."""
    pins = {str(pin): pin for path in FOLDER.glob("*.txt") for pin in pins_of(path.read_text())}
    return [pins[key] for key in sorted(pins)]


def audit(pins: list[Pin], client: httpx.Client) -> tuple[list[str], bool]:
    """What to say, and whether a vulnerability was found."""
    first = [_ask(pin, client) for pin in pins[:FIRST]]
    if all(isinstance(answer, str) for answer in first):
        return [NO_REGISTRY if NO_REGISTRY in first else NO_DATA], False
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = [*first, *pool.map(lambda pin: _ask(pin, client), pins[FIRST:])]
    told = list(zip(pins, answers, strict=True))
    found = [line for pin, answer in told if not isinstance(answer, str) for line in _lines(pin, answer)]
    silent = [str(pin) for pin, answer in told if isinstance(answer, str)]
    return [*found, *_summary(len(pins), found, silent)], bool(found)


def _ask(pin: Pin, client: httpx.Client) -> list[Vulnerability] | str:
    """What is known of this pin, or the sentence that says why nothing is."""
    try:
        answer = client.get(f"/pypi/{pin.name}/{pin.version}/json")
    except httpx.HTTPError:
        return NO_REGISTRY
    if answer.status_code != httpx.codes.OK:
        return NO_REGISTRY if answer.is_server_error else NO_DATA
    try:
        vulnerabilities = _Answer.model_validate_json(answer.content).vulnerabilities
    except ValidationError:
        return NO_DATA
    return [each for each in vulnerabilities if not each.withdrawn]


def _lines(pin: Pin, vulnerabilities: list[Vulnerability]) -> Iterator[str]:
    for each in vulnerabilities:
        names = _plain(" ".join([each.id, *each.aliases]))
        yield f"{pin}: {names}, fixed in {_plain(', '.join(each.fixed_in)) or 'no version yet'}"


def _plain(text: str) -> str:
    """Another's words for a terminal."""
    return "".join(char for char in text if char.isprintable())[:120]


def _summary(asked: int, found: list[str], silent: list[str]) -> Iterator[str]:
    if silent:
        yield f"not checked, the registry gave no answer: {', '.join(silent)}"
    yield f"{asked - len(silent)} of {asked} pins checked, {len(found)} vulnerabilities known"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Ask the registry about the pins of requirements/*.txt.")
    parser.add_argument("--registry", required=True, help="its address, where /pypi/<name>/<version>/json is")
    registry = parser.parse_args(arguments).registry
    trust = ssl.create_default_context()  # this machine's, as pip's is: a company's own authority is in it
    with httpx.Client(base_url=registry, timeout=TIMEOUT_S, verify=trust) as client:
        lines, found = audit(pins_of_all(), client)
    sys.stdout.writelines(f"audit: {line}\n" for line in lines)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
