"""Which provider does a name point at? Format rules, spellings of providers, preferred providers of organisations."""

import re

# Names that only one provider uses: (pattern, provider). Whoever writes one means that provider.
FORMAT_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"accounts/fireworks/", re.IGNORECASE), "fireworks"),
    (re.compile(r"@cf/", re.IGNORECASE), "cloudflare-workers-ai"),
    (re.compile(r"fal-ai/", re.IGNORECASE), "fal"),
)

# Families that go to one provider first whenever it is configured: (pattern of the canonical id, provider).
MODEL_PROVIDERS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"google/gemini-", re.IGNORECASE), "google-vertex"),
)

# The last resort: an organisation's models go to this provider first.
ORGANISATION_PROVIDERS: dict[str, str] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google-vertex",
    "x-ai": "xai",
    "deepseek": "deepseek",
    "cohere": "cohere",
    "perplexity": "perplexity",
    "moonshotai": "moonshot",
    "minimax": "minimax",
    "z-ai": "zai",
    "xiaomi": "xiaomi",
    "qwen": "alibaba-cloud",
    "mistralai": "openrouter",
}

# Bare names whose family gives the organisation away, for models younger than the alias table.
NAME_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"gpt|chatgpt|o\d(?:-|$)|codex"), "openai"),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"gemini|gemma"), "google"),
    (re.compile(r"grok"), "x-ai"),
    (re.compile(r"deepseek"), "deepseek"),
    (re.compile(r"mistral|mixtral|codestral|ministral|magistral|devstral|pixtral"), "mistralai"),
    (re.compile(r"llama"), "meta-llama"),
    (re.compile(r"qwen|qwq"), "qwen"),
    (re.compile(r"command"), "cohere"),
    (re.compile(r"kimi"), "moonshotai"),
    (re.compile(r"glm"), "z-ai"),
    (re.compile(r"sonar"), "perplexity"),
)

# How other tools spell the providers.
PROVIDER_SPELLINGS: dict[str, str] = {
    "amazon-bedrock": "bedrock",
    "azure": "azure-openai",
    "cloudflare": "cloudflare-workers-ai",
    "dashscope": "alibaba-cloud",
    "fireworks-ai": "fireworks",
    "fireworks_ai": "fireworks",
    "gemini": "google-ai-studio",
    "hf": "huggingface",
    "moonshot-ai": "moonshot",
    "together-ai": "together",
    "together_ai": "together",
    "togetherai": "together",
    "vercel": "vercel-ai-gateway",
    "vertex": "google-vertex",
    "vertex_ai": "google-vertex",
    "workers-ai": "cloudflare-workers-ai",
}


# How OpenRouter spells providers in its `provider` object, where that is not how it is done here.
OPENROUTER_SPELLINGS: dict[str, str] = {
    "alibaba": "alibaba-cloud",
    "google": "google-vertex",
    "mistralai": "mistral",
    "moonshot-ai": "moonshot",
    "moonshotai": "moonshot",
    "novitaai": "novita",
    "x-ai": "xai",
    "z-ai": "zai",
    "z.ai": "zai",
}


def provider_preferred(word: str) -> str:
    """The slug that a word in a `provider` object stands for: OpenRouter's slug or display name, or one of ours.

    What follows a slash (a variant, a region, a precision) is OpenRouter's own and not looked at.
    """
    name = word.partition("/")[0].strip().lower().replace(" ", "-")
    return OPENROUTER_SPELLINGS.get(name) or PROVIDER_SPELLINGS.get(name, name)


def provider_of_format(name: str) -> str | None:
    """The provider whose own way of writing ids this is, or None."""
    for pattern, provider in FORMAT_RULES:
        if pattern.match(name):
            return provider
    return None


def organisation_of_name(name: str) -> str | None:
    """The organisation that a bare lower-case name belongs to by its family, or None."""
    for pattern, organisation in NAME_RULES:
        if pattern.match(name):
            return organisation
    return None


def preferred_provider(model_id: str) -> str | None:
    """The provider that comes first for a canonical model wherever it can serve: by family, then by organisation."""
    for pattern, provider in MODEL_PROVIDERS:
        if pattern.match(model_id):
            return provider
    return ORGANISATION_PROVIDERS.get(model_id.partition("/")[0].lower())
