"""`make audit` against a registry on this machine: what it prints and how it ends."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.vulnerabilities import NO_DATA, pins_of_all

ROOT = Path(__file__).parents[2]
VULNERABLE = pins_of_all()[-1]


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        bad = self.path == f"/pypi/{VULNERABLE.name}/{VULNERABLE.version}/json"
        known = [{"id": "PYSEC-2026-1", "aliases": [], "fixed_in": ["99.0"], "withdrawn": None}] if bad else []
        body = json.dumps({"info": {}, "vulnerabilities": known}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """Tests need no log."""


class Ignorant(Answering):
    def do_GET(self) -> None:
        self.send_error(404)


@pytest.fixture
def registry(request: pytest.FixtureRequest) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), request.param) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def audited(registry: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.vulnerabilities", "--registry", registry]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("registry", [Answering], indirect=True)
def test_a_vulnerable_pin_ends_with_1_and_is_named(registry: str) -> None:
    ended = audited(registry)

    count = len(pins_of_all())
    assert ended.stdout.splitlines() == [
        f"audit: {VULNERABLE}: PYSEC-2026-1, fixed in 99.0",
        f"audit: {count} of {count} pins checked, 1 vulnerabilities known",
    ]
    assert ended.returncode == 1


@pytest.mark.parametrize("registry", [Ignorant], indirect=True)
def test_a_registry_without_the_data_ends_with_0_and_says_so(registry: str) -> None:
    ended = audited(registry)

    assert (ended.stdout, ended.returncode) == (f"audit: {NO_DATA}\n", 0)
