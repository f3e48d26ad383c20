"""The HTTP application: inference on raw ASGI, every other page on FastAPI beside it, one description of both."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.routing import Route

from gatewayz import __version__
from gatewayz.api import errors
from gatewayz.api.account import activity, balance, keys, openrouter, rate_limits, responses
from gatewayz.api.admin import (
    audit,
    caches,
    credits,
    ip_allowlist,
    model_sync,
    reconciliation,
    registration,
    roles,
    users,
)
from gatewayz.api.dispatch import Dispatcher
from gatewayz.api.inference.describe import inference_paths
from gatewayz.api.inference.on_path import METHODS, VERTEX_METHODS
from gatewayz.api.inference.routes import ROUTES, Inference
from gatewayz.api.public import (
    breakers,
    gateways,
    gemini_models,
    health,
    metrics,
    model_detail,
    model_views,
    models,
    models_db,
    openrouter_models,
    velocity,
)

# In this order: what matches any path below its own comes last.
_ROUTERS = (
    openrouter, openrouter_models, activity, audit, balance, breakers, caches, credits, gateways, gemini_models, health,
    ip_allowlist, keys, metrics, model_detail, model_sync, model_views, models, models_db, rate_limits, reconciliation,
    registration, responses, roles, users, velocity,
)  # fmt: skip


def build_app(house: Any) -> Dispatcher:
    """The ASGI application of a house. Building it starts nothing."""
    pages = FastAPI(
        title="gatewayz",
        version=__version__,
        description="One API key, every model, automatic reliability, one exact bill.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # A redirect would be built from the Host header, which anybody may write.
        redirect_slashes=False,
    )
    pages.state.house = house
    leaves: list[Route] = []
    for module in _ROUTERS:
        router = module.router()
        pages.include_router(router)
        leaves += [route for route in router.routes if isinstance(route, Route)]
    templates = ["/openapi.json", *(route.path for route in leaves)]

    @pages.get("/openapi.json", tags=["about"], summary="This description")
    async def openapi() -> JSONResponse:
        return JSONResponse(_description(pages))

    errors.install(pages)
    pages.state.leaves = leaves
    pages.state.paths = [
        *templates,
        *ROUTES,
        *(route.endpoint for route in (*METHODS.values(), *VERTEX_METHODS.values())),
    ]
    inference = Inference(
        house.gateway,
        round(house.settings.body_limit_mb * 1_000_000),
        round(house.settings.audio_limit_mb * 1_000_000),
        house.alarms,
    )
    return Dispatcher(house, inference, pages, templates)


def _description(pages: FastAPI) -> dict[str, Any]:
    """One OpenAPI document for the pages and the inference routes."""
    if not pages.openapi_schema:
        document = FastAPI.openapi(pages)
        document["paths"].update(inference_paths())
        document.setdefault("components", {})["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: gw_live_…"},
            "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "x-goog-api-key": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
        }
        document["security"] = [{"bearer": []}, {"x-api-key": []}]
        pages.openapi_schema = document
    return pages.openapi_schema
