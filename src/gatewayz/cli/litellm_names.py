"""Who is meant by LiteLLM's `provider/model`, and what that provider calls the model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gatewayz.catalog.detection import PROVIDER_SPELLINGS
from gatewayz.catalog.transforms import upstream_id

# LiteLLM's names of providers that are not ours with other signs.
_SLUGS: Mapping[str, str] = MappingProxyType(
    {
        "azure": "azure-openai", "azure_ai": "azure-openai", "azure_text": "azure-openai",
        "bedrock_converse": "bedrock", "cohere_chat": "cohere", "custom_openai": "openai", "dashscope": "alibaba-cloud",
        "fal_ai": "fal", "featherless_ai": "featherless", "hosted_vllm": "vllm", "jina_ai": "jina", "litellm_proxy": "openai",
        "lm_studio": "lmstudio", "ollama_chat": "ollama", "openai_like": "openai", "text-completion-openai": "openai",
        "vercel_ai_gateway": "vercel-ai-gateway", "vertex_ai_beta": "google-vertex", "xiaomi_mimo": "xiaomi",
    }
)  # fmt: skip
# Bare names that LiteLLM knows the makers of; all others are OpenAI's.
_BARE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"gemini-"), "vertex_ai"),
    (re.compile(r"command|rerank-|embed-"), "cohere"),
)
_BEDROCK_WAYS = ("converse/", "invoke/")
_BEDROCK_OTHERS = ("agent/", "agentcore/", "async_invoke/", "mantle/", "openai/", "llama/", "deepseek_r1/", "qwen3/")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
_COMMITMENT = re.compile(r"\d+-month-commitment/")
_RESPONSES = "responses/"


@dataclass(frozen=True, slots=True)
class Named:
    """`vendor` as LiteLLM writes it, `slug` as it is here, the provider's own name of the model, and where the name puts it.

    `problem` says why such a name cannot be asked for here.
    """

    vendor: str
    slug: str
    native_id: str
    region: str | None = None
    problem: str | None = None


def named(params: Mapping[str, Any]) -> Named:
    """What `litellm_params.model` (and `custom_llm_provider`) mean."""
    model = str(params["model"])
    vendor = params.get("custom_llm_provider")
    if isinstance(vendor, str) and vendor:
        native = model.removeprefix(f"{vendor}/")
    else:
        vendor, slash, native = model.partition("/")
        if model == "*":
            vendor, native = model, model
        elif not slash:
            vendor, native = next((maker for name, maker in _BARE if name.match(model)), "openai"), model
    name = vendor.lower()
    slug = _SLUGS.get(name) or PROVIDER_SPELLINGS.get(name) or name.replace("_", "-")
    if slug == "bedrock":
        return _at_bedrock(vendor, native)
    if slug in ("openai", "azure-openai"):
        native = native.removeprefix(_RESPONSES)  # by which interface is decided per request here
    elif slug == "google-vertex" and native.startswith("claude"):
        slug = "google-vertex-anthropic"
    elif slug == "huggingface":
        native = _behind_huggingface(native)
    return Named(vendor, slug, native if "*" in native else upstream_id(slug, native))


def _at_bedrock(vendor: str, native: str) -> Named:
    """`converse/`, a region and a commitment may stand before Bedrock's own name, which may be an address (`arn:`)."""
    region = None
    for prefix in _BEDROCK_WAYS:
        native = native.removeprefix(prefix)
    head, slash, rest = native.partition("/")
    if slash and _REGION.fullmatch(head):
        region, native = head, rest
    if _COMMITMENT.match(native):
        return Named(vendor, "bedrock", native, region, "throughput that was bought is called by its address (arn:)")
    other = next((prefix for prefix in _BEDROCK_OTHERS if native.startswith(prefix)), None)
    problem = f"Bedrock is asked by Converse only, not as {other.rstrip('/')!r}" if other is not None else None
    return Named(vendor, "bedrock", native, region, problem)


def _behind_huggingface(native: str) -> str:
    """LiteLLM puts the provider behind Hugging Face before the model's id, its router wants it behind."""
    provider, _, model = native.partition("/")
    return f"{model}:{provider}" if model.count("/") == 1 else native
