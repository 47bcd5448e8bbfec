"""The most that this server stack can do: reads the body and answers 202."""

from fastapi import FastAPI, Request, Response


def create_app() -> FastAPI:
    """For uvicorn."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/metrics")
    async def take(request: Request) -> Response:
        await request.body()
        return Response(b'{"accepted":1}', 202, media_type="application/json")

    @app.get("/health/ready")
    async def ready() -> Response:
        return Response()

    return app
