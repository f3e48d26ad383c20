"""Signatures of thinking that travel through a client of another dialect, and back to the family that made them.

Gemini signs not only thoughts but also calls and texts, and wants each signature back on the part it was on. Clients of
other dialects know one place for a signature: a block of thinking. So the gateway seals the place and the family into the
text of the signature, which clients keep as it is. Whoever reads a sealed one knows that no other family accepts it.

Reasoning that the Responses API encrypts is sealed with the provider that made it: the same model at another provider
cannot open it.

The other way round, a client of Gemini knows one place for the signature of whatever family: `thoughtSignature`, which its
SDKs hold as bytes. There the signatures of others travel wrapped: family, kind and text together, as base64.
"""

import base64
import binascii

from gatewayz.core.chat import RedactedThinking, Thinking, ToolCall

GEMINI = "google-gemini-v1"
SEALED_BY_GEMINI = f"{GEMINI}:"  # how every sealed signature begins
OPENAI = "openai-responses-v1"
SEALED_BY_OPENAI = f"{OPENAI}:"
BEDROCK = "aws-bedrock-v1"
SEALED_BY_BEDROCK = f"{BEDROCK}:"  # before encrypted thoughts that only a model at Bedrock can read

THOUGHT, TEXT, END = "thought", "text", "end"  # places; a call's is `call_place`


def call_place(number: int) -> str:
    """The place of the call that is the `number`th of its message, counted from 0."""
    return f"call{number}"


def seal(place: str, signature: str) -> str:
    """Gemini's signature together with the place of the part that it was on."""
    return f"{SEALED_BY_GEMINI}{place}:{signature}"


def seal_openai(maker: str, encrypted: str) -> str:
    """Encrypted reasoning of the Responses API together with the slug of its provider ("" if nobody knows it)."""
    return f"{SEALED_BY_OPENAI}{maker}:{encrypted}"


def open_openai(sealed: str) -> tuple[str, str] | None:
    """(maker, encrypted reasoning) of what `seal_openai` sealed; None for anything else."""
    if not sealed.startswith(SEALED_BY_OPENAI):
        return None
    maker, colon, encrypted = sealed[len(SEALED_BY_OPENAI) :].partition(":")
    return (maker, encrypted) if colon and encrypted else None


def family(sealed: str | None) -> str | None:
    """The family that made a signature, as far as its text tells; None if it does not."""
    if sealed is None:
        return None
    return next((name for name in (GEMINI, OPENAI, BEDROCK) if sealed.startswith(f"{name}:")), None)


def gemini_signature(part: Thinking | RedactedThinking, calls: list[ToolCall]) -> tuple[str, str] | None:
    """(place, signature) of a part that Gemini signed; None if it did not.

    One that another gateway brought along is not sealed: it belongs to the first of the message's `calls`, else to its
    end.
    """
    signature = part.signature if isinstance(part, Thinking) else part.data
    if signature is None:
        return None
    if signature.startswith(SEALED_BY_GEMINI):
        place, colon, bare = signature[len(SEALED_BY_GEMINI) :].partition(":")
        return (place, bare) if colon and bare else None
    if part.format == GEMINI and signature:
        return call_place(0) if calls else END, signature
    return None


_WRAPPING = b"gatewayz-v1:"  # 12 bytes, so that its base64 begins every wrapped one
WRAPPED = base64.b64encode(_WRAPPING).decode()
_SIGNED, _ENCRYPTED = "signed", "encrypted"
_URL_SAFE = str.maketrans("-_", "+/")


def wrap(part: Thinking | RedactedThinking) -> str | None:
    """The signature of thinking (or all of an encrypted one) as a Gemini client keeps it; None if there is none."""
    kind, text = (_SIGNED, part.signature) if isinstance(part, Thinking) else (_ENCRYPTED, part.data)
    if not text:
        return None
    sealed = f"{kind}:{part.format or ''}:{text}".encode("utf-8", "surrogatepass")
    return base64.b64encode(_WRAPPING + sealed).decode()


def unwrap(signature: str) -> Thinking | RedactedThinking | None:
    """What `wrap` was given, a thought without its text; None for any other signature.

    SDKs write bytes in the alphabet for addresses, whatever they were given.
    """
    if not signature.startswith(WRAPPED):
        return None
    try:
        data = base64.b64decode(signature.translate(_URL_SAFE), validate=True)
        kind, maker, text = data[len(_WRAPPING) :].decode("utf-8", "surrogatepass").split(":", 2)
    except (binascii.Error, ValueError):
        return None
    known = maker or family(text)
    if kind == _ENCRYPTED:
        return RedactedThinking(text, known)
    return Thinking("", text, known) if kind == _SIGNED and text else None
