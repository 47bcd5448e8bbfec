"""The three services as they are, with a real gate on a fake table, and nothing behind the gate that can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import httpx
from starlette.datastructures import State

from iops.errors import NotFound
from iops.gate import Tokens
from iops.web import Service, routes_with_roles
from services.alerts.app import create_app as create_alerts
from services.alerts.settings import AlertsSettings
from services.ingest.app import create_app as create_ingest
from services.ingest.settings import IngestSettings
from services.insights.app import create_app as create_insights
from services.insights.settings import InsightsSettings
from tests.unit.keyrings import Ring

MAKERS: Final[Mapping[str, Callable[[], Any]]] = {
    "ingest": lambda: create_ingest(IngestSettings(auth="on", docs=True)),
    "insights": lambda: create_insights(InsightsSettings(auth="on", docs=True)),
    "alerts": lambda: create_alerts(AlertsSettings(auth="on", docs=True)),
}
LET_IN: Final = "behind the gate"


class Behind:
    """What a service works with, and all its parts. Whoever calls any of it was let in, and hears just that."""

    def __init__(self) -> None:
        self.calls = 0

    def __getattr__(self, name: str) -> Behind:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> Any:
        self.calls += 1
        raise NotFound(LET_IN)

    async def query_page(self, _: object) -> Any:
        """Raises when it is awaited, since it is one of several that are gathered."""
        self()


class Opened(State):
    """An app's state, in which everything stands that a lifespan would open, and nothing works but the gate."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(parts)

    def __getattr__(self, name: str) -> Any:
        state: dict[str, Any] = self.__dict__["_state"]
        return state.get(name, state["behind"])


@cache
def service(name: str) -> Service:
    """Made once: it takes 50 ms, and its routes do not change."""
    app: Service = MAKERS[name]()
    return app


@dataclass
class Guarded:
    """A service, the ring of its gate, and whether anybody came through."""

    app: Service
    ring: Ring
    parts: dict[str, Any] = field(default_factory=dict)  # that can be used all the same
    behind: Behind = field(default_factory=Behind)

    def __post_init__(self) -> None:
        self.app.state = Opened(gate=self.ring.gate, behind=self.behind, **self.parts)

    async def ask(
        self, method: str, path: str, *headers: tuple[str, str], content: Any = None, address: str = "10.0.0.7"
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", trust_env=False) as client:
            raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
            return await client.request(method, path, headers=raw, content=content)


def guarded(name: str, *, people: Tokens | None = None) -> Guarded:
    """A service with a new ring."""
    return Guarded(service(name), Ring(people=people))


def operations() -> Iterator[tuple[str, str, str, str]]:
    """Service, method, path and the role that is asked for: of every route, in its document or not."""
    for name in MAKERS:
        for route, role in routes_with_roles(service(name)):
            for method in sorted(route.methods or ()):
                yield name, method, str(route.path_format), role.value if role else "public"
