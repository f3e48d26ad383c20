"""The house of the services beside chats: one gateway, scripted providers of every form, models priced by every unit."""

import atexit
import io
import json
import shutil
import wave
from decimal import Decimal
from functools import cache
from typing import Any

from tests.acceptance import spine
from tests.acceptance.spine import Spine, provider_toml
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway, fresh_home

EMBED = "acme/embed"  # first, then second
TOKENS_ONLY = "acme/embed-narrow"  # narrow, which chats and embeds, nothing else
COHERE, GEMINI, VOYAGE, JINA = "co/embed", "goo/embed", "voy/embed", "ji/embed"
MIXED = "acme/embed-mixed"  # cohere, then first
RERANK = "acme/rerank"  # cohere, by the search
RERANK_TOKENS = "acme/rerank-tokens"  # first, by the token
RERANK_MIXED = "acme/rerank-mixed"  # cohere, then voyage
QWEN_EMBED, QWEN_RERANK = "qwen/embed", "qwen/rerank"  # alibaba-cloud, by the token
MODERATE = "acme/moderate"
IMAGE = "acme/image"  # first, then second, by the image
IMAGE_TOKENS = "acme/image-tokens"
IMAGEN = "acme/image-mixed"  # google-ai-studio, then first
WHISPER = "acme/whisper"  # first, then second, by the second
TRANSCRIBE = "acme/transcribe"  # by the token
SPEECH = "acme/speech"  # first, then second, by the character
SPEECH_SECONDS = "acme/speech-seconds"
UNPRICED = "acme/speech-unpriced"  # a price that speech cannot be charged by

_COMPATIBLE = "/compatible-mode/v1"  # where Alibaba's chats are; its own services are elsewhere
# Nano-USD.
EMBED_PER_MTOK, IMAGE_NANO, SECOND_NANO, CHARACTERS_NANO, SEARCH_NANO = (
    20_000_000,
    40_000_000,
    100_000,
    15_000_000_000,
    2_000_000,
)
_MODELS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    EMBED: ("embedding", ("first", "second"), {"price_prompt_usd_per_mtok": 0.02}),
    TOKENS_ONLY: ("embedding", ("narrow",), {"price_prompt_usd_per_mtok": 0.02}),
    COHERE: ("embedding", ("cohere",), {"price_prompt_usd_per_mtok": 0.12}),
    GEMINI: ("embedding", ("google-ai-studio",), {"price_prompt_usd_per_mtok": 0.15}),
    VOYAGE: ("embedding", ("voyage",), {"price_prompt_usd_per_mtok": 0.06}),
    JINA: ("embedding", ("jina",), {"price_prompt_usd_per_mtok": 0.06}),
    MIXED: ("embedding", ("cohere", "first"), {"price_prompt_usd_per_mtok": 0.02}),
    RERANK: ("rerank", ("cohere",), {"price_search_usd": 0.002}),
    RERANK_TOKENS: ("rerank", ("first",), {"price_prompt_usd_per_mtok": 0.05}),
    RERANK_MIXED: ("rerank", ("cohere", "voyage"), {"price_search_usd": 0.002}),
    QWEN_EMBED: ("embedding", ("alibaba-cloud",), {"price_prompt_usd_per_mtok": 0.07}),
    QWEN_RERANK: ("rerank", ("alibaba-cloud",), {"price_prompt_usd_per_mtok": 0.1}),
    MODERATE: ("moderation", ("first", "second"), {"price_prompt_usd_per_mtok": 0.1}),
    IMAGE: (
        "image",
        ("first", "second"),
        {
            "price_image_usd": 0.04,
            "price_image_variants_usd": {"hd": 0.08, "1024x1792": 0.12, "hd/1024x1792": 0.16},
        },
    ),
    IMAGE_TOKENS: (
        "image",
        ("first",),
        {
            "price_prompt_usd_per_mtok": 5, "price_image_input_usd_per_mtok": 8, "price_image_output_usd_per_mtok": 30,
        },
    ),
    IMAGEN: ("image", ("google-ai-studio", "first"), {"price_image_usd": 0.04}),
    WHISPER: ("audio_transcription", ("first", "second"), {"price_audio_usd_per_second": 0.0001}),
    TRANSCRIBE: (
        "audio_transcription",
        ("first",),
        {
            "price_prompt_usd_per_mtok": 2.5, "price_completion_usd_per_mtok": 10, "price_audio_input_usd_per_mtok": 6,
        },
    ),
    SPEECH: ("audio_speech", ("first", "second"), {"price_usd_per_million_characters": 15}),
    SPEECH_SECONDS: ("audio_speech", ("first",), {"price_speech_usd_per_second": 0.00025}),
    UNPRICED: ("audio_speech", ("first",), {"price_prompt_usd_per_mtok": 1}),
}  # fmt: skip


def config(upstream: FakeUpstream, **settings: Any) -> str:
    """gatewayz.toml of this house."""
    texts = [spine.settings_toml(**{"rate_limit_retries": 0, "trial_credit_usd": 0, **settings})]
    texts += [provider_toml(upstream, "first", priority=1), provider_toml(upstream, "second", priority=2)]
    texts.append(provider_toml(upstream, "narrow", services=["chat", "embeddings"]))
    for slug, path in (
        ("cohere", "/v2"),
        ("voyage", "/v1"),
        ("jina", "/v1"),
        ("google-ai-studio", ""),
        ("alibaba-cloud", _COMPATIBLE),
    ):
        base = upstream.url(slug, path)
        texts.append(f'[[providers]]\nslug = "{slug}"\nbase_url = "{base}"\napi_key = "sk-{slug}"\npriority = 1\n')
    for model, (kind, offers, price) in _MODELS.items():
        texts.append(f'[[models]]\nid = "{model}"\nname = "{model}"\nkind = "{kind}"\n')
        for provider in offers:
            native = "imagen-9" if (provider, kind) == ("google-ai-studio", "image") else f"native-{provider}"
            lines = [f'provider = "{provider}"', f'native_id = "{native}"']
            lines += [f"{name} = {_toml(value)}" for name, value in price.items()]
            texts.append("[[models.offers]]\n" + "\n".join(lines) + "\n")
    return "\n".join(texts)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


@cache
def shared() -> Spine:
    """The house of this test process, stopped when the interpreter ends."""
    upstream = FakeUpstream().start()
    atexit.register(upstream.stop)
    home = fresh_home()
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    gateway = LiveGateway(home, config(upstream))
    gateway.start()
    atexit.register(gateway.stop)
    return Spine(upstream, gateway)


def sound(seconds: float, rate: int = 8_000) -> bytes:
    """A WAV file of silence."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(int(seconds * rate) * 2))
    return out.getvalue()


def form(parts: dict[str, str | bytes], filename: str = "speech.wav") -> tuple[bytes, dict[str, str]]:
    """A form and its headers; bytes become a file."""
    boundary = "test-boundary"
    pieces = []
    for name, value in parts.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, bytes):
            head += f'; filename="{filename}"\r\nContent-Type: application/octet-stream'
        data = value if isinstance(value, bytes) else value.encode()
        pieces.append(head.encode() + b"\r\n\r\n" + data + b"\r\n")
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()]), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }


def paid(customer: Customer) -> list[int]:
    """Nano-USD of each charge on the account, oldest first."""
    rows = [row for row in customer.transactions() if row["type"] == "api_usage"]
    return [int(-Decimal(row["amount_usd_exact"]) * 10**9) for row in reversed(rows)]
