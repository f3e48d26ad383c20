"""Reranking: one request for Cohere's and Jina's clients; Cohere's, DashScope's, Jina's and Voyage's form on the other side."""

from gatewayz.dialects.rerank.client import RERANK
from gatewayz.dialects.rerank.cohere import COHERE_RERANK
from gatewayz.dialects.rerank.dashscope import DASHSCOPE_RERANK
from gatewayz.dialects.rerank.jina import JINA_RERANK
from gatewayz.dialects.rerank.voyage import VOYAGE_RERANK

__all__ = ["COHERE_RERANK", "DASHSCOPE_RERANK", "JINA_RERANK", "RERANK", "VOYAGE_RERANK"]
