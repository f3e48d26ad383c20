"""The list of models for clients of Google's Gemini API."""

import base64
import binascii
from bisect import bisect_right
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from gatewayz.api.public.model_entry import gemini_entry
from gatewayz.api.public.shelf import House, View, page, respond
from gatewayz.catalog import find, not_found
from gatewayz.core.errors import InvalidRequest
from gatewayz.core.services import KIND_OF
from gatewayz.infra.answers import Answer, tag_of

_routes = APIRouter(tags=["models"])

# What Google's methods are served for.
_KINDS = frozenset({KIND_OF["chat"], KIND_OF["embeddings"]})
_USUAL_PAGE, _LARGEST_PAGE = 50, 1_000  # Google's


@_routes.get("/v1beta/models", summary="List the models that can be used, for Gemini clients")
@_routes.get("/v1alpha/models", include_in_schema=False)
async def list_models(
    request: Request,
    page_size: Annotated[int, Query(alias="pageSize", ge=0, le=2**31 - 1, description="at most 1000; 0: 50")] = 0,
    page_token: Annotated[
        str | None, Query(alias="pageToken", max_length=1_000, description="`nextPageToken` of the page before")
    ] = None,
) -> Response:
    """Google's list, by id. Raises InvalidRequest for a token that no page gave."""
    return await google_list(request, page_size, page_token)


@_routes.get("/v1beta/models/{model_id:path}", summary="One model, for Gemini clients")
@_routes.get("/v1alpha/models/{model_id:path}", include_in_schema=False)
async def get_model(request: Request, model_id: str) -> Response:
    """The model that an id or alias stands for. Raises NotFound `model_not_found` with near matches."""
    house: House = request.app.state.house
    catalog = house.catalog.current
    found = find(catalog, model_id)
    offers = catalog.within(found.model, house.providers.reach()) if found else ()
    if found is None or not offers or found.model.kind not in _KINDS:
        raise not_found(catalog, model_id, house.providers.active_slugs())
    body = msgspec.json.encode(gemini_entry(found.model, offers[0]))
    return respond(request, Answer(body, tag_of(body)))


async def google_list(request: Request, page_size: int, page_token: str | None) -> Response:
    """The page of Google's list that begins after `page_token`, of `page_size` models at most."""
    count = min(page_size or _USUAL_PAGE, _LARGEST_PAGE)
    after = _id_of(page_token) if page_token else ""
    return await page(request, "gemini", (count, after), lambda view: _list(view, count, after), shared=False)


def _list(view: View, count: int, after: str) -> dict[str, Any]:
    rows = sorted((row for row in view.rows if row.model.kind in _KINDS), key=lambda row: row.model.id)
    start = bisect_right(rows, after, key=lambda row: row.model.id) if after else 0
    shown = rows[start : start + count]
    listed: dict[str, Any] = {"models": [gemini_entry(row.model, row.offers[0]) for row in shown]}
    if start + count < len(rows):
        listed["nextPageToken"] = _token_of(shown[-1].model.id)
    return listed


def _token_of(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode()


def _id_of(token: str) -> str:
    """The id after which the page begins. Raises InvalidRequest."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(
            "pageToken must be the nextPageToken of an earlier page.", code="invalid_value", param="pageToken"
        ) from error


def router() -> APIRouter:
    """GET /v1beta/models, /v1beta/models/{id}."""
    return _routes
