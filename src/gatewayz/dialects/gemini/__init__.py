"""Gemini's `generateContent`, as Google AI Studio and Vertex AI mean it."""

from gatewayz.core.chat import ChatAnswer, ChatRequest
from gatewayz.core.errors import GatewayError
from gatewayz.core.services import Service
from gatewayz.core.stream import StreamError
from gatewayz.core.usage import Usage
from gatewayz.dialects import error_text
from gatewayz.dialects.base import (
    AnswerFacts,
    Bridge,
    Glance,
    Price,
    Quirks,
    StreamReader,
    StreamWriter,
    Target,
    Voice,
)
from gatewayz.dialects.gemini import answer as plain
from gatewayz.dialects.gemini import (
    answer_write,
    errors,
    forward,
    forward_request,
    glance,
    request_read,
    request_write,
    stream_read,
    stream_write,
)
from gatewayz.dialects.gemini.framing import Array, Events, Framing
from gatewayz.dialects.gemini.wire import NAME


class GeminiGenerateContent:
    """The `Dialect` of Gemini; each method is described there.

    A body names neither its model nor whether a stream is wanted, since the path does: whoever reads a client's body
    makes an instance of what that path says. `events`: streams are server-sent events, else one JSON array.
    """

    name = NAME
    service: Service = "chat"

    def __init__(self, model: str = "", *, stream: bool = False, events: bool = True) -> None:
        self._model = model
        self._stream = stream
        self._events = events

    def glance(self, body: bytes) -> Glance:
        return glance.glance(body, self._model, self._stream)

    def read_request(self, glance: Glance) -> ChatRequest:
        return request_read.read_request(glance)

    def write_request(self, request: ChatRequest, target: Target) -> bytes:
        return request_write.write_request(request, target)

    def forward_request(self, glance: Glance, target: Target) -> bytes:
        return forward_request.forward_request(glance, target)

    def dropped(self, request: Glance | ChatRequest, target: Target) -> tuple[str, ...]:
        if isinstance(request, Glance):
            return forward_request.dropped(request, target)
        return request_write.dropped(request, target)

    def read_answer(self, body: bytes, provider: str = "") -> tuple[ChatAnswer, AnswerFacts]:
        return plain.read_answer(body)

    def write_answer(self, answer: ChatAnswer, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        return answer_write.write_answer(answer, voice, usage, cost_nano_usd)

    def glance_answer(self, body: bytes) -> AnswerFacts:
        return plain.glance_answer(body)

    def forward_answer(
        self,
        body: bytes,
        voice: Voice,
        usage: Usage,
        cost_nano_usd: int,
        quirks: Quirks,
        provider: str = "",
        *,
        usual: bool = False,
    ) -> bytes:
        return forward.forward_answer(body, voice, usage, cost_nano_usd, quirks)

    def forwarder(self, voice: Voice, target: Target, price: Price) -> Bridge:
        return forward.GeminiForwarder(voice, target, self._framing())

    def reader(self, provider: str = "") -> StreamReader:
        return stream_read.GeminiReader()

    def writer(self, voice: Voice, price: Price) -> StreamWriter:
        return stream_write.GeminiWriter(voice, self._framing())

    def read_error(self, body: bytes) -> StreamError:
        return error_text.read_error(body)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        return errors.render_error(error, request_id)

    def _framing(self) -> Framing:
        return Events() if self._events else Array()


GEMINI = GeminiGenerateContent()
