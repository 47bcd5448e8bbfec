"""`iops doctor --alert` against a server double: it ends well only when the alert was delivered."""

import gzip
import json

import httpx
from typer.testing import CliRunner

from cli.main import app
from cli.outcome import CommandFailed
from cli.prove import prove_alert
from cli.server import Row, Server
from tests.unit.builders import AT

TOLD = AT.isoformat()


class Product:
    """Takes a batch, and has an alert of its stream with whatever page the test gives it."""

    def __init__(self, page: Row | None, *, told_at: str | None = TOLD, opens: bool = True) -> None:
        self.page = page
        self.told_at = told_at
        self.opens = opens
        self.batches: list[Row] = []
        self.resolved: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/metrics":
            self.batches += json.loads(gzip.decompress(request.content))["batches"]
            return httpx.Response(202, json={"accepted": 1})
        if request.url.path.endswith("/resolve"):
            self.resolved.append(request.url.path)
            return httpx.Response(200, json={})
        alert: Row = {"alert_id": "a1", "title": "returns I/O errors", "told_at": self.told_at, "page": self.page}
        listed = [alert] if self.opens and request.url.params.get("stream_id") == self.batches[0]["stream_id"] else []
        return httpx.Response(200, json=alert if request.url.path == "/alerts/a1" else {"items": listed})


async def proven(product: Product) -> str | None:
    """None where it was; otherwise why not."""

    async def sleep(_seconds: float) -> None:
        return None

    server = Server("http://test", transport=httpx.MockTransport(product), credential_for=lambda _url: None)
    try:
        async with server:
            await prove_alert(server, AT, as_json=False, limit_s=2, sleep=sleep)
    except CommandFailed as error:
        return str(error)
    return None


async def test_a_delivered_alert_proves_it_and_is_resolved() -> None:
    product = Product({"waiting_for": []})

    assert await proven(product) is None
    (batch,) = product.batches
    assert batch["stream_id"] == f"iops-doctor-{AT:%H%M%S}:proof"
    assert batch["labels"] == {"source": "simulated"}
    assert product.resolved == ["/alerts/a1/resolve"]


async def test_an_alert_that_waits_for_the_bus_proves_nothing() -> None:
    product = Product({"waiting_for": ["bus"]})

    assert "alert a1 opened; not delivered to bus" in str(await proven(product))
    assert product.resolved == []


async def test_an_alert_that_was_told_earlier_proves_nothing() -> None:
    assert "not delivered" in str(await proven(Product({"waiting_for": []}, told_at="2020-01-01T00:00:00Z")))


async def test_no_alert_says_where_to_look() -> None:
    assert "no alert opened" in str(await proven(Product(None, opens=False)))


def test_a_door_that_refuses_ends_with_exit_code_1() -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json={"detail": "a viewer sends nothing"})

    result = CliRunner().invoke(app, ["doctor", "--alert"], obj=httpx.MockTransport(refuse))

    assert result.exit_code == 1
    assert "a viewer sends nothing" in result.stderr
