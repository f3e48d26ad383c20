"""Embeddings: OpenAI's and Google's forms on the client's side; OpenAI's, Cohere's, Google's, Jina's and Voyage's beyond."""

from gatewayz.dialects.embeddings.cohere import COHERE_EMBED
from gatewayz.dialects.embeddings.dashscope import DASHSCOPE_EMBED
from gatewayz.dialects.embeddings.gemini import GEMINI_EMBED
from gatewayz.dialects.embeddings.gemini_client import GEMINI_EMBEDDINGS
from gatewayz.dialects.embeddings.jina import JINA_EMBEDDINGS
from gatewayz.dialects.embeddings.openai import OPENAI_EMBEDDINGS
from gatewayz.dialects.embeddings.vertex import VERTEX_EMBED
from gatewayz.dialects.embeddings.vertex_client import VERTEX_PREDICT
from gatewayz.dialects.embeddings.voyage import VOYAGE_EMBEDDINGS

__all__ = [
    "COHERE_EMBED",
    "DASHSCOPE_EMBED",
    "GEMINI_EMBED",
    "GEMINI_EMBEDDINGS",
    "JINA_EMBEDDINGS",
    "OPENAI_EMBEDDINGS",
    "VERTEX_EMBED",
    "VERTEX_PREDICT",
    "VOYAGE_EMBEDDINGS",
]
