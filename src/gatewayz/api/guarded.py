"""Routes that ask who is calling before they find fault with a body."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from gatewayz.api.auth import GUARDS, current_caller

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class GuardedRoute(APIRoute):
    """A route whose guards speak first.

    FastAPI reads the body before it calls any dependency, so a text that is no JSON would be told to strangers, and would
    not count against anybody's limit. Here the guards, which have not been asked then, are asked before that is told.
    """

    def get_route_handler(self) -> _Handler:
        """See `APIRoute`."""
        handle = super().get_route_handler()
        guards = [each.call for each in self.dependant.dependencies if each.call in GUARDS]

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except (RequestValidationError, HTTPException) as error:
                if not _is_unreadable(error):
                    raise
                caller = await current_caller(request)
                for guard in guards:
                    await guard(request, Response(), caller)
                raise

        return guarded


def _is_unreadable(error: RequestValidationError | HTTPException) -> bool:
    """Whether the body could not even be read; all other findings come after the guards."""
    if isinstance(error, HTTPException):
        return error.status_code == 400
    return any(found["type"] == "json_invalid" for found in error.errors())
