"""Everything that can go wrong in front of a client: one tree, rendered by each dialect in its own words.

    GatewayError
    ├── InvalidRequest 400        the caller's body or parameters
    │   ├── TooLarge 413 · UnsupportedFormat 415 · InvalidFields 422
    ├── Unauthenticated 401       no key, wrong key, expired key
    ├── PaymentRequired 402       the account cannot pay
    ├── Forbidden 403             known caller, not allowed
    ├── NotFound 404              route, record or model
    │   └── MethodNotAllowed 405
    ├── Conflict 409              state of the resource
    ├── RateLimited 429           limits of the gateway or, at last, of the provider
    ├── InternalError 500         our fault, generic text only
    ├── ProviderTrouble 502       the provider's fault
    ├── Unavailable 503           nobody can serve this now
    └── TimedOut 504              the provider did not answer in time

Each class fixes status and type; `code` is the stable word that programs may test. The message is written for the
person who reads it: what is wrong, where, what to do. It never carries provider bodies, hosts, paths, SQL or keys.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

Fault = Literal["caller", "gateway", "provider"]


class GatewayError(Exception):
    """A refusal or failure with everything that a dialect needs to render it.

    `param` names the offending field, `suggestions` are near matches or next steps, `details` and `extra` are JSON
    values (`extra` is merged into the error object, e.g. `balance_usd`), `headers` are added to the response.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    fault: ClassVar[Fault] = "gateway"
    retry_helps: ClassVar[bool] = False
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        suggestions: Sequence[str] = (),
        details: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.suggestions = tuple(suggestions)
        self.details = dict(details) if details else None
        self.extra = dict(extra) if extra else {}
        self.headers = dict(headers) if headers else {}


class InvalidRequest(GatewayError):
    """400: the body or a parameter is wrong; sending it again unchanged does not help."""

    status = 400
    type = "invalid_request_error"
    fault = "caller"
    default_code = "invalid_request"


class TooLarge(InvalidRequest):
    """413: the body is above the limit."""

    status = 413
    default_code = "request_too_large"


class UnsupportedFormat(InvalidRequest):
    """415: the content type or encoding is not accepted."""

    status = 415
    default_code = "unsupported_format"


class InvalidFields(InvalidRequest):
    """422: a body outside inference does not validate."""

    status = 422
    default_code = "validation_error"


class Unauthenticated(GatewayError):
    """401: no key, or a key that does not open anything."""

    status = 401
    type = "authentication_error"
    fault = "caller"
    default_code = "invalid_api_key"


class PaymentRequired(GatewayError):
    """402: the account cannot pay for the dearest way this request could go."""

    status = 402
    type = "insufficient_credits"
    fault = "caller"
    default_code = "payment_required"


class Forbidden(GatewayError):
    """403: the caller is known and may not do this."""

    status = 403
    type = "permission_error"
    fault = "caller"
    default_code = "insufficient_scope"


class NotFound(GatewayError):
    """404: no such route, record or model."""

    status = 404
    type = "not_found_error"
    fault = "caller"
    default_code = "not_found"


class MethodNotAllowed(NotFound):
    """405: the route exists, the method does not."""

    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"


class Conflict(GatewayError):
    """409: the resource is in a state that refuses this."""

    status = 409
    type = "conflict_error"
    fault = "caller"
    default_code = "conflict"


class RateLimited(GatewayError):
    """429: too much for now; `Retry-After` says when."""

    status = 429
    type = "rate_limit_error"
    fault = "caller"
    retry_helps = True
    default_code = "rate_limit_exceeded"


class InternalError(GatewayError):
    """500: a fault of the gateway; the text is generic on purpose."""

    status = 500
    type = "api_error"
    default_code = "internal_error"


class ProviderTrouble(GatewayError):
    """502: the providers that could serve this answered with a fault."""

    status = 502
    type = "provider_error"
    fault = "provider"
    retry_helps = True
    default_code = "provider_error"


class Unavailable(GatewayError):
    """503: nobody can serve this now (no provider, no price, no money store)."""

    status = 503
    type = "overloaded_error"
    fault = "provider"
    retry_helps = True
    default_code = "no_provider_available"


class TimedOut(GatewayError):
    """504: the provider did not answer in time."""

    status = 504
    type = "timeout_error"
    fault = "provider"
    retry_helps = True
    default_code = "provider_timeout"
