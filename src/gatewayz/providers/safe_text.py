"""What of a provider's error text may a client read? Whole sentences about the request, or nothing.

A sentence that holds anything that could be a host, address, key, account, path, or the name of a service is dropped
whole: what is left reads well, and masking inside a sentence would show that there was something to mask.
"""

import re
from typing import Any

from gatewayz.dialects import json_text

LONGEST = 500

# Services and the software they run on. Ordinary words (near, together, fireworks) count only as names.
SERVICE_NAMES = (
    "aihubmix", "aimo network", "akash", "akashml", "akashchat", "alibaba", "alibaba cloud", "alpaca network", "amazon",
    "anannas", "anthropic", "anyscale", "aws", "azure", "baseten", "bedrock", "cerebras", "chutes", "clarifai",
    "cloudflare", "cohere", "dashscope", "deepinfra", "deepseek", "featherless", "fal.ai", "fireworks ai", "google",
    "groq", "helicone", "hugging face", "huggingface", "hyperbolic", "infron", "litellm", "llama.cpp", "lm studio",
    "lmstudio", "microsoft", "minimax", "mistral ai", "modelz", "moonshot", "morpheus", "near ai", "nebius", "nosana",
    "novita", "ollama", "onerouter", "oneapi", "one-api", "new-api", "openai", "openrouter", "parasail", "perplexity",
    "portkey", "replicate", "sambanova", "siliconflow", "simplismart", "together ai", "vercel", "vertex", "vllm",
    "workers ai", "x.ai", "xai", "xiaomi", "z.ai", "zhipu", "bigmodel", "volcengine", "nginx", "openresty", "envoy",
    "istio", "jina ai", "kubernetes", "traefik", "uvicorn", "gunicorn", "voyage ai",
)  # fmt: skip
_SERVICE = "|".join(re.escape(name).replace(r"\ ", "[ -]?") for name in SERVICE_NAMES)
_TLD = (
    "com|net|org|ai|io|dev|app|co|cloud|xyz|sh|me|us|eu|cn|de|in|uk|local|internal|cluster|svc|lan|corp|intranet|run|pro|live|"
    "network|tech|gg|so|house|info|site|online|host|zone|systems"
)
_UNSAFE = re.compile(
    "|".join(
        (
            r"https?:|wss?:|www\.|ftp:|://",
            rf"\b[a-z0-9][\w-]*(?:\.[\w-]+)*\.(?:{_TLD})\b",  # host names
            r"\blocalhost\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|\b[\w-]+:\d{2,5}\b|\[?[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){3,}",
            r"\S@\S",
            r"(?<![\w.])[/~](?:[\w.@-]+/)+[\w.@-]*|\b[a-z]:\\|\\\\|\bline \d+\b|\.py\b",  # files
            r"\b[\w.-]+/[\w.-]+/[\w.-]+|(?<!\w)@\w+/",  # a provider's own path-like model ids
            r"\b(?:sk|pk|rk|ak|gsk|xai|hf|r8|fw|tgp|csk|psk|nvapi|key|gw|glpat|ghp|pplx|eyj|aiza)[-_][\w*.-]{4,}",
            r"\baiza\w{8,}|\beyj\w{8,}|\bbearer\b|\*{3,}|\bx-[a-z]+-[a-z-]+\b",
            r"\b(?:org|organi[sz]ation|proj|project|team|account|tenant|workspace|user|acct|req|request|trace|resp|chatcmpl|"
            r"msg|cus|sub|run|dep|deployment|subscription|session)[-_ ]?(?:id)?[-_:= `'\"]+[a-z]*\d[\w-]*",
            r"\b(?:org|proj|team|acct|user|req)[-_][a-z0-9]{6,}",
            r"\b[0-9a-f]{8}-[0-9a-f]{4}-|\b[0-9a-f]{16,}\b|\b\d{9,}\b|\b0x[0-9a-f]{4,}",
            r"(?=[\w+/=-]*\d)(?=[\w+/=-]*[a-z])\b[\w+/=-]{28,}",  # anything that looks like a token
            r"\btraceback\b|\bstack ?trace\b|\bexception\b|\b\w+error:|<\w+|\bselect \*|\bsql\b",
            r"\bapi[ _-]?keys?\b|\bcredential|\bpassword|\bsecret\b|\bbilling\b|\bdashboard\b|\bconsole\b|\bupgrade\b|"
            r"\bcontact\b|\bsupport team\b",
            r"\b(?:your|this) (?:account|organi[sz]ation|team|plan|project|workspace|tier)\b",
            rf"(?<![\w/-])(?:{_SERVICE})(?![\w/-])",
        )
    ),
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"])")
_PREFIX = re.compile(
    r"^(?:(?:error(?: code)?:?\s*)?\d{3}\s*[-:]\s*|\d{3} bad request:?\s*|bad ?request(?:_?error)?:\s*|"
    r"invalid_request_error:\s*|validation_?error:\s*|value_?error:\s*|error:\s*)+",
    re.IGNORECASE,
)
_PARAM = re.compile(r"[A-Za-z_]\w*(?:\.\w+|\[\d+\])*")
_NAMED_PARAM = re.compile(
    r"\b(?:parameters?|arguments?|fields?|value for|value|property|input)(?: supplied)?:? ?"
    r"['\"`]([A-Za-z_][\w.\[\]]*)['\"`]"
    r"|['\"`]([A-Za-z_][\w.\[\]]*)['\"`] (?:must|should|is not|is required|cannot)"
    r"|^((?:model|messages|system|tools|temperature|thinking|metadata|[a-z]+_[a-z_]+)(?:\.\w+)*): ",
    re.IGNORECASE,
)


def client_text(message: str) -> str | None:
    """What a client may read of a provider's error message, at most 500 characters; None if nothing is left."""
    message = message.strip()
    if message[:1] in "{[":
        message = _from_list(message)
    text = _PREFIX.sub("", _CONTROL.sub(" ", message)).strip()
    kept = [part for part in _SENTENCE_END.split(text) if _worth_reading(part) and not _UNSAFE.search(part)]
    joined = " ".join(" ".join(kept).split())
    if len(joined) > LONGEST:
        joined = joined[: LONGEST - 1].rsplit(" ", 1)[0] + "…"
    return joined or None


def param_of(message: str, stated: str | None = None) -> str | None:
    """The request field that an error names: as stated by the provider, else as quoted in its sentence, or None."""
    if stated and len(stated) <= 100 and _PARAM.fullmatch(stated):
        return stated
    named = _NAMED_PARAM.search(message)
    found = next((group for group in named.groups() if group), None) if named else None
    return found if found and len(found) <= 100 and _PARAM.fullmatch(found) else None


def _worth_reading(sentence: str) -> bool:
    # Fewer than three words are a label ("Bad Request"), not an explanation.
    return len(sentence.split()) >= 3


def _from_list(message: str) -> str:
    """The sentences of a list of field errors, as servers in FastAPI's manner send them; "" for any other JSON."""
    try:
        value = json_text.load(message.encode())
    except ValueError:
        return ""
    if isinstance(value, dict):
        value = value.get("detail")
    if not isinstance(value, list):
        return ""
    return " ".join(_field_error(item) for item in value[:5] if isinstance(item, dict))


def _field_error(item: dict[str, Any]) -> str:
    told = item.get("msg") or item.get("message")
    if not isinstance(told, str):
        return ""
    place = item.get("loc")
    parts = [str(part) for part in place if part != "body"] if isinstance(place, list) else []
    name = ".".join(parts)
    return f"Field '{name}' is refused: {told.rstrip('.')}." if _PARAM.fullmatch(name) else f"{told.rstrip('.')}."
