"""Texts, thoughts and calls of the model in canonical form, each with the signature that it carries.

Shared by answers of providers and by the turns of the model that a client sends back.
"""

import base64

from gatewayz.core.chat import Part, RedactedThinking, Text, Thinking
from gatewayz.dialects import signatures

EXCUSED = "skip_thought_signature_validator"  # in the place of a signature that a call never had
_EXCUSES = frozenset({EXCUSED, base64.b64encode(EXCUSED.encode()).decode()})  # SDKs write bytes


def say(parts: list[Part], text: object, thought: object, signature: object) -> None:
    """Adds a thought or a text, and its signature."""
    words = text if isinstance(text, str) else ""
    if thought is True:
        if words:
            parts.append(Thinking(words))
        sign(parts, signatures.THOUGHT, signature)
    elif words:
        parts.append(Text(words))
        sign(parts, signatures.TEXT, signature)
    else:
        sign(parts, signatures.END, signature)


def sign(parts: list[Part], place: str, signature: object) -> None:
    """Adds the signature of a part that comes next or came last: to an unsigned thought before it, else on its own.

    One of another family, which came wrapped, is unwrapped.
    """
    if not isinstance(signature, str) or not signature or signature in _EXCUSES:
        return
    signed = signatures.unwrap(signature)
    if isinstance(signed, RedactedThinking):
        parts.append(signed)
        return
    if signed is None:
        signed = Thinking("", signatures.seal(place, signature), signatures.GEMINI)
    last = parts[-1] if parts else None
    if isinstance(last, Thinking) and last.signature is None:
        parts[-1] = Thinking(last.text, signed.signature, signed.format)
    elif signed.format == signatures.GEMINI and signed.signature is not None:
        parts.append(RedactedThinking(signed.signature, signatures.GEMINI))
    else:
        parts.append(signed)


def joined(parts: list[Part]) -> list[Part]:
    """Neighbouring texts, and neighbouring thoughts without a signature between them, as one."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, Text) and isinstance(last, Text):
            found[-1] = Text(last.text + part.text)
        elif isinstance(part, Thinking) and isinstance(last, Thinking) and last.signature is None:
            found[-1] = Thinking(last.text + part.text, part.signature, part.format)
        else:
            found.append(part)
    return found
