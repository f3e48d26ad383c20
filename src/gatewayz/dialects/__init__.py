"""What do the bytes mean? One package per dialect, each an object with the methods of `base.py`."""

from gatewayz.dialects.anthropic import ANTHROPIC
from gatewayz.dialects.audio import (
    OPENAI_SPEECH,
    OPENAI_TRANSCRIPTIONS,
    OPENAI_TRANSLATIONS,
    TRANSCRIPTIONS_BASE64,
)
from gatewayz.dialects.base import Bridge, ClientDialect, Dialect, Price, ProviderDialect, Target, Voice
from gatewayz.dialects.bedrock import BEDROCK
from gatewayz.dialects.cohere import COHERE
from gatewayz.dialects.embeddings import (
    COHERE_EMBED,
    DASHSCOPE_EMBED,
    GEMINI_EMBED,
    GEMINI_EMBEDDINGS,
    JINA_EMBEDDINGS,
    OPENAI_EMBEDDINGS,
    VERTEX_EMBED,
    VERTEX_PREDICT,
    VOYAGE_EMBEDDINGS,
)
from gatewayz.dialects.gemini import GEMINI, GeminiGenerateContent
from gatewayz.dialects.images import (
    DASHSCOPE_IMAGE_EDITS,
    DASHSCOPE_IMAGES,
    FAL_IMAGE_EDITS,
    FAL_IMAGES,
    IMAGEN_PREDICT,
    OPENAI_IMAGE_EDITS,
    OPENAI_IMAGE_VARIATIONS,
    OPENAI_IMAGES,
    REPLICATE_IMAGE_EDITS,
    REPLICATE_IMAGES,
)
from gatewayz.dialects.jobs import JobDialect
from gatewayz.dialects.media import MediaDialect
from gatewayz.dialects.moderations import OPENAI_MODERATIONS
from gatewayz.dialects.openai_chat import OPENAI_CHAT, OpenAIChat
from gatewayz.dialects.openai_completions import OPENAI_COMPLETIONS
from gatewayz.dialects.openai_responses import OPENAI_RESPONSES
from gatewayz.dialects.openai_responses.compact import OPENAI_COMPACT
from gatewayz.dialects.openrouter import OPENROUTER_CHAT, OPENROUTER_COMPLETIONS
from gatewayz.dialects.rerank import COHERE_RERANK, DASHSCOPE_RERANK, JINA_RERANK, RERANK, VOYAGE_RERANK
from gatewayz.dialects.translate import TranslatingBridge

_MEDIA: tuple[MediaDialect, ...] = (
    OPENAI_EMBEDDINGS, OPENAI_MODERATIONS, OPENAI_IMAGES, OPENAI_IMAGE_EDITS, OPENAI_IMAGE_VARIATIONS,
    OPENAI_TRANSCRIPTIONS, OPENAI_TRANSLATIONS, OPENAI_SPEECH,
)  # fmt: skip
_MEDIA_PROVIDERS: tuple[MediaDialect, ...] = (
    COHERE_EMBED, DASHSCOPE_EMBED, GEMINI_EMBED, JINA_EMBEDDINGS, VERTEX_EMBED, VOYAGE_EMBEDDINGS, COHERE_RERANK,
    DASHSCOPE_RERANK, JINA_RERANK, VOYAGE_RERANK, IMAGEN_PREDICT, FAL_IMAGES, FAL_IMAGE_EDITS, REPLICATE_IMAGES,
    REPLICATE_IMAGE_EDITS, DASHSCOPE_IMAGES, DASHSCOPE_IMAGE_EDITS,
)  # fmt: skip

# Spoken on both sides: between equal ones bytes are forwarded.
DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (OPENAI_CHAT, ANTHROPIC, GEMINI, OPENAI_RESPONSES)}
MEDIA_DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in _MEDIA}
_SHARED: dict[str, Dialect] = {**DIALECTS, **MEDIA_DIALECTS, OPENAI_COMPACT.name: OPENAI_COMPACT}
CLIENT_DIALECTS: dict[str, ClientDialect] = {
    **_SHARED,
    OPENAI_COMPLETIONS.name: OPENAI_COMPLETIONS,
    RERANK.name: RERANK,
    GEMINI_EMBEDDINGS.name: GEMINI_EMBEDDINGS,
    VERTEX_PREDICT.name: VERTEX_PREDICT,
    "transcriptions_base64": TRANSCRIPTIONS_BASE64,  # the answers are those of the form
}
# The same, as clients of OpenRouter expect them: by the names that routes give them.
OPENROUTER_DIALECTS: dict[str, ClientDialect] = {
    "openrouter": OPENROUTER_CHAT,
    "openrouter_completions": OPENROUTER_COMPLETIONS,
}
PROVIDER_DIALECTS: dict[str, ProviderDialect] = {
    **_SHARED,
    **{dialect.name: dialect for dialect in _MEDIA_PROVIDERS},
    BEDROCK.name: BEDROCK,
    COHERE.name: COHERE,
}
# Those whose answers may be jobs.
_BY_JOB: tuple[JobDialect, ...] = (
    FAL_IMAGES, FAL_IMAGE_EDITS, REPLICATE_IMAGES, REPLICATE_IMAGE_EDITS, DASHSCOPE_IMAGES, DASHSCOPE_IMAGE_EDITS,
)  # fmt: skip
JOB_DIALECTS: dict[str, JobDialect] = {dialect.name: dialect for dialect in _BY_JOB}


def shared(client: ClientDialect, provider: ProviderDialect) -> Dialect | None:
    """The dialect that both sides speak, as the client speaks it; None if one must be translated into the other."""
    if client.name != provider.name:
        return None
    if isinstance(client, (OpenAIChat, GeminiGenerateContent)):
        return client  # which alone knows whose clients it answers, and the form of stream that its path asked for
    return _SHARED.get(client.name)


def bridge(client: ClientDialect, provider: ProviderDialect, voice: Voice, target: Target, price: Price) -> Bridge:
    """The way of one streamed answer from `provider`'s bytes to `client`'s: forwarded if the dialects are the same."""
    same = shared(client, provider)
    if same is not None:
        return same.forwarder(voice, target, price)
    return TranslatingBridge(provider.reader(target.provider), client.writer(voice, price))
