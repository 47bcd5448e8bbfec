"""Which other sites' pages may read answers: none, unless the settings name them."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware


def allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Lets pages of `origins` ask with a key in a header; the cookies of people stay with our own pages.

    Preflights are answered before anybody is asked who they are. The quick doors of ingest say nothing of it: no
    browser sends telemetry.
    """
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("X-API-Key", "Authorization", "Content-Type"),
            allow_credentials=False,
        )
