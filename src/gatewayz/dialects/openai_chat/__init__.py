"""OpenAI Chat Completions, as OpenAI and the many who speak like it mean it."""

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
    StreamReader,
    StreamWriter,
    Target,
    Voice,
)
from gatewayz.dialects.openai_chat import answer as plain
from gatewayz.dialects.openai_chat import (
    answer_forward,
    errors,
    forward,
    forward_request,
    glance,
    request_read,
    request_write,
    stream_read,
    stream_write,
)


class OpenAIChat:
    """The `Dialect` of Chat Completions; each method is described there."""

    name = glance.NAME
    service: Service = "chat"
    glance = staticmethod(glance.glance)
    forward_request = staticmethod(forward_request.forward_request)
    glance_answer = staticmethod(answer_forward.glance_answer)
    forward_answer = staticmethod(answer_forward.forward_answer)

    def read_request(self, glance: Glance) -> ChatRequest:
        return request_read.read_request(glance)

    def write_request(self, request: ChatRequest, target: Target) -> bytes:
        return request_write.write_request(request, target)

    def dropped(self, request: Glance | ChatRequest, target: Target) -> tuple[str, ...]:
        if isinstance(request, Glance):
            return forward_request.dropped(request, target)
        return request_write.dropped(request, target)

    def read_answer(self, body: bytes, provider: str = "") -> tuple[ChatAnswer, AnswerFacts]:
        return plain.read_answer(body)

    def write_answer(self, answer: ChatAnswer, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        return plain.write_answer(answer, voice, usage, cost_nano_usd)

    def forwarder(self, voice: Voice, target: Target, price: Price) -> Bridge:
        return forward.OpenAIForwarder(voice, target, price)

    def reader(self, provider: str = "") -> StreamReader:
        return stream_read.OpenAIReader()

    def writer(self, voice: Voice, price: Price) -> StreamWriter:
        return stream_write.OpenAIWriter(voice)

    def read_error(self, body: bytes) -> StreamError:
        return error_text.read_error(body)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        return errors.render_error(error, request_id)


OPENAI_CHAT = OpenAIChat()
