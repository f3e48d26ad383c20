"""Kept answers of the Responses API: read again, their input listed, deleted. Each account sees its own only."""

from typing import Annotated, Any, Literal, Protocol, cast

from fastapi import APIRouter, Depends, Query, Request, Response

from gatewayz.api.auth import needs
from gatewayz.core.caller import Caller
from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects.openai_responses.keep import input_items
from gatewayz.gateway.keeping import Keeping

Owner = Annotated[Caller, Depends(needs("inference"))]


class House(Protocol):
    """What these pages work with."""

    keeping: Keeping


def router() -> APIRouter:
    """GET and DELETE /v1/responses/{response_id}, GET …/input_items, POST …/cancel, and the same without /v1."""
    routes = APIRouter(tags=["inference"])
    for base in ("/v1/responses/{response_id}", "/responses/{response_id}"):
        routes.get(base, summary="A kept response")(read)
        routes.delete(base, summary="Delete a kept response")(delete)
        routes.get(f"{base}/input_items", summary="The input of a kept response")(list_input)
        routes.post(f"{base}/cancel", summary="Cancel a response: none here runs in the background")(cancel)
    return routes


async def read(
    request: Request,
    caller: Owner,
    response_id: str,
    stream: Annotated[bool, Query(description="only false: what is kept has been streamed")] = False,
) -> Response:
    """The response object as it was given. Raises NotFound response_not_found."""
    if stream:
        raise InvalidRequest(
            "A kept response is not streamed again: only background responses are, and there are none here. Leave"
            " `stream` out.",
            code="unsupported_parameter",
            param="stream",
        )
    return Response(await _keeping(request).response(caller.user_id, response_id), media_type="application/json")


async def delete(request: Request, caller: Owner, response_id: str) -> dict[str, Any]:
    """Deletes the response for good; conversations that lead through it can no longer be continued by its id."""
    await _keeping(request).delete(caller.user_id, response_id)
    return {"id": response_id, "object": "response", "deleted": True}


async def list_input(
    request: Request,
    caller: Owner,
    response_id: str,
    limit: Annotated[int, Query(ge=1, le=100, description="items in the answer")] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: Annotated[str | None, Query(max_length=200, description="id of the item after which to go on")] = None,
) -> dict[str, Any]:
    """The items that this request itself brought, newest first unless asked otherwise."""
    items = input_items(response_id, await _keeping(request).input(caller.user_id, response_id))
    if order == "desc":
        items.reverse()
    if after is not None:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise InvalidRequest(f"No item {after} is in this input.", code="invalid_value", param="after")
        items = items[places[0] + 1 :]
    page = items[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > limit,
    }


async def cancel(request: Request, caller: Owner, response_id: str) -> None:
    """Refuses: a response that is kept has ended, and one that runs is ended by closing its connection."""
    await _keeping(request).response(caller.user_id, response_id)
    raise InvalidRequest(
        "Only responses that were asked for with background: true can be cancelled, and there are none here. To stop a"
        " response, close its connection.",
        code="not_cancellable",
        param="response_id",
    )


def _keeping(request: Request) -> Keeping:
    return cast(House, request.app.state.house).keeping
