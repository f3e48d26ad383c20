"""What the simulated provider answers to services beside chats: decided from the request alone, the same each time.

Nothing here looks or sounds like a model's work: vectors come from a hash, images are stripes, sound is silence, and every
text says that it is simulated.
"""

import base64
import hashlib
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects import json_text
from gatewayz.dialects.audio.sound import length_ms, sniff
from gatewayz.dialects.base import Encoded
from gatewayz.dialects.embeddings.openai import as_base64, read_inputs
from gatewayz.dialects.media.forms import read_form
from gatewayz.dialects.rerank.client import read_documents, text_of
from gatewayz.dialects.tokens import estimate_tokens

DIMENSIONS = 256
_MOST_DIMENSIONS = 4_096
_SIDE = 64  # pixels of an image whose size is left open; named sizes are kept up to the largest that OpenAI makes
_MOST_SIDE = 1_536
_CHARACTERS_PER_S = 15
_MP3_FRAME = b"\xff\xfb\x90\xc4" + bytes(413)  # 128 kbit/s, 44.1 kHz, silent; 1152 samples
_PCM_RATE = 24_000
FLAG_WORD = "flag me"
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")


@dataclass(frozen=True, slots=True)
class Made:
    """An answer: its content type, and its parts as they come."""

    content_type: str
    parts: tuple[bytes, ...]


def make(service: str, body: bytes | Encoded) -> Made:
    """The answer to a request for a service. Raises ValueError with a sentence for the caller."""
    try:
        if isinstance(body, Encoded):
            asked, files = _form(body)
        else:
            asked, files = json_text.load(body), {}
        if not isinstance(asked, dict):
            raise ValueError("The body is not a JSON object.")
        return _MAKERS[service](asked, files)
    except InvalidRequest as error:
        raise ValueError(error.message) from error


def _form(body: Encoded) -> tuple[dict[str, Any], dict[str, bytes]]:
    parts = read_form(body.data, body.content_type)
    fields: dict[str, Any] = {part.name: part.text() for part in parts if part.filename is None}
    return fields, {part.name: bytes(part.data) for part in parts if part.filename is not None}


def _json(value: dict[str, Any]) -> Made:
    return Made("application/json", (json_text.dump(value),))


def _events(events: list[dict[str, Any]]) -> Made:
    parts = tuple(f"event: {each['type']}\ndata: ".encode() + json_text.dump(each) + b"\n\n" for each in events)
    return Made("text/event-stream", parts)


def _embeddings(asked: dict[str, Any], _files: Mapping[str, bytes]) -> Made:
    inputs = read_inputs(asked.get("input"))
    wanted = asked.get("dimensions")
    size = wanted if isinstance(wanted, int) and 1 <= wanted <= _MOST_DIMENSIONS else DIMENSIONS
    vectors = [_vector(each, size) for each in inputs]
    tokens = sum(len(each) if isinstance(each, tuple) else max(1, estimate_tokens(each)) for each in inputs)
    is_text = asked.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": as_base64(each) if is_text else each}
        for index, each in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": data, "model": asked.get("model"), "usage": usage})


def _vector(text: str | tuple[int, ...], size: int) -> list[float]:
    """A vector of length one: words that are shared make texts similar, so that a search can be tried."""
    words = re.findall(r"\w+", text.lower()) if isinstance(text, str) else [str(each) for each in text]
    sums = [0.0] * size
    for word in words or ["empty"]:
        digest = hashlib.shake_128(word.encode()).digest(size)
        for at, byte in enumerate(digest):
            sums[at] += byte - 127.5
    length = sum(each * each for each in sums) ** 0.5
    return [round(each / length, 6) for each in sums]


def _moderations(asked: dict[str, Any], _files: Mapping[str, bytes]) -> Made:
    given = asked.get("input")
    items = given if isinstance(given, list) and not (given and isinstance(given[0], dict)) else [given]
    results = []
    for item in items:
        texts = item if isinstance(item, list) else [item]
        said = " ".join(each.get("text", "") if isinstance(each, dict) else str(each) for each in texts).lower()
        hit = FLAG_WORD in said
        results.append(
            {
                "flagged": hit,
                "categories": {name: hit and name == "harassment" for name in _CATEGORIES},
                "category_scores": {name: 0.99 if hit and name == "harassment" else 0.0 for name in _CATEGORIES},
                "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
            }
        )
    return _json({"id": "modr-sim", "model": asked.get("model"), "results": results})


def _rerank(asked: dict[str, Any], _files: Mapping[str, bytes]) -> Made:
    query = set(re.findall(r"\w+", str(asked.get("query", "")).lower()))
    documents = read_documents(asked.get("documents"))
    scored = []
    for index, document in enumerate(documents):
        words = set(re.findall(r"\w+", text_of(document).lower()))
        shared = len(query & words) / len(query | words) if query | words else 0.0
        result: dict[str, Any] = {"index": index, "relevance_score": round(shared, 6)}
        if asked.get("return_documents"):
            result["document"] = document if isinstance(document, dict) else {"text": document}
        scored.append(result)
    scored.sort(key=lambda each: -each["relevance_score"])
    top = asked.get("top_n")
    units = {"search_units": -(-len(documents) // 100)}
    return _json(
        {
            "id": "rerank-sim",
            "results": scored[:top] if isinstance(top, int) else scored,
            "meta": {"billed_units": units},
        }
    )


def _images(asked: dict[str, Any], _files: Mapping[str, bytes]) -> Made:
    prompt = str(asked.get("prompt", "a variation"))
    count = int(asked.get("n") or 1)
    pictures = [base64.b64encode(_png(f"{prompt} {index}", asked.get("size"))).decode() for index in range(count)]
    if asked.get("stream") in (True, "true"):
        kind = "image_edit" if _files else "image_generation"
        common = {"created_at": 0, "size": asked.get("size") or "auto", "output_format": "png"}
        events: list[dict[str, Any]] = [
            {"type": f"{kind}.partial_image", "b64_json": pictures[0], "partial_image_index": index, **common}
            for index in range(int(asked.get("partial_images") or 0))
        ]
        events += [{"type": f"{kind}.completed", "b64_json": each, **common} for each in pictures]
        return _events(events)
    as_url = asked.get("response_format") == "url"
    data = [
        {
            **({"url": f"data:image/png;base64,{each}"} if as_url else {"b64_json": each}),
            "revised_prompt": f"Simulated image: {prompt[:200]}",
        }
        for each in pictures
    ]
    return _json({"created": 0, "data": data})


def _png(seed: str, size: Any) -> bytes:
    """Stripes in two colours that the seed decides."""
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", str(size))
    width, height = (min(_MOST_SIDE, max(1, int(side))) for side in (found[1], found[2])) if found else (_SIDE, _SIDE)
    digest = hashlib.sha256(seed.encode()).digest()
    colours = digest[:3], digest[3:6]
    row = b"\0" + b"".join(colours[x // 16 % 2] for x in range(width))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * height, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _transcription(asked: dict[str, Any], files: Mapping[str, bytes]) -> Made:
    data = files.get("file", b"")
    kind = sniff(data)
    length = (length_ms(kind, data) if kind is not None else None) or 1000
    seconds = length / 1000
    text = f"Simulated transcription of {seconds:.1f} seconds of {kind or 'unknown'} sound."
    usage = {"type": "duration", "seconds": -(-length // 1000)}
    if asked.get("stream") in (True, "true"):
        words = re.findall(r"\S+\s*", text)
        deltas: list[dict[str, Any]] = [{"type": "transcript.text.delta", "delta": each} for each in words]
        return _events([*deltas, {"type": "transcript.text.done", "text": text, "usage": usage}])
    match asked.get("response_format") or "json":
        case "text":
            return Made("text/plain; charset=utf-8", (f"{text}\n".encode(),))
        case "srt":
            cue = f"1\n{_clock(0, ',')} --> {_clock(length, ',')}\n{text}\n\n"
            return Made("text/plain; charset=utf-8", (cue.encode(),))
        case "vtt":
            cue = f"WEBVTT\n\n{_clock(0, '.')} --> {_clock(length, '.')}\n{text}\n\n"
            return Made("text/vtt; charset=utf-8", (cue.encode(),))
        case "verbose_json":
            segment = {"id": 0, "start": 0.0, "end": seconds, "text": text}
            head = {"task": "transcribe", "language": asked.get("language") or "english", "duration": seconds}
            return _json({**head, "text": text, "segments": [segment], "usage": usage})
        case _:
            return _json({"text": text, "usage": usage})


def _clock(ms: int, point: str) -> str:
    seconds, rest = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"


def _speech(asked: dict[str, Any], _files: Mapping[str, bytes]) -> Made:
    text = str(asked.get("input", ""))
    seconds = max(1, len(text) // _CHARACTERS_PER_S)
    form = asked.get("response_format") or "mp3"
    silence = bytes(2 * _PCM_RATE)
    if form == "mp3":
        frames = -(-seconds * 44_100 // 1152)
        made = Made("audio/mpeg", tuple(_in_pieces(_MP3_FRAME * frames)))
    elif form == "pcm":
        made = Made("audio/pcm", (silence,) * seconds)
    elif form == "wav":
        size = len(silence) * seconds
        head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, _PCM_RATE, 2 * _PCM_RATE,
                           2, 16, b"data", size)  # fmt: skip
        made = Made("audio/wav", (head, *(silence,) * seconds))
    else:
        raise ValueError("The simulated provider speaks mp3, wav and pcm only.")
    if asked.get("stream_format") != "sse":
        return made
    deltas: list[dict[str, Any]] = [
        {"type": "speech.audio.delta", "audio": base64.b64encode(part).decode()} for part in made.parts
    ]
    tokens = estimate_tokens(text)
    usage = {"input_tokens": tokens, "output_tokens": seconds * 20, "total_tokens": tokens + seconds * 20}
    return _events([*deltas, {"type": "speech.audio.done", "usage": usage}])


def _in_pieces(data: bytes, size: int = 16_384) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


_MAKERS: Mapping[str, Callable[[dict[str, Any], Mapping[str, bytes]], Made]] = {
    "embeddings": _embeddings,
    "moderations": _moderations,
    "rerank": _rerank,
    "image_generations": _images,
    "image_edits": _images,
    "image_variations": _images,
    "transcriptions": _transcription,
    "translations": _transcription,
    "speech": _speech,
}
