"""The OpenAPI documents as the services write them; `make openapi` commits what changed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from services.alerts.app import create_app as create_alerts
from services.ingest.app import create_app as create_ingest
from services.insights.app import create_app as create_insights

FOLDER: Final = Path(__file__).parents[1] / "docs" / "openapi"
SERVICES: Final[Mapping[str, Callable[[], FastAPI]]] = {
    "ingest": create_ingest,
    "insights": create_insights,
    "alerts": create_alerts,
}


def document_of(service: str) -> str:
    """A service's document as it is committed."""
    document: dict[str, Any] = SERVICES[service]().openapi()
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in SERVICES:
        (FOLDER / f"{name}.json").write_text(document_of(name))
