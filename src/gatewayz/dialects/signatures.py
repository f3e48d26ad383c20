"""Signatures of thinking that travel through a client of another dialect, and back to the family that made them.

Gemini signs not only thoughts but also calls and texts, and wants each signature back on the part it was on. Clients of
other dialects know one place for a signature: a block of thinking. So the gateway seals the place and the family into the
text of the signature, which clients keep as it is. Whoever reads a sealed one knows that no other family accepts it.
"""

from gatewayz.core.chat import RedactedThinking, Thinking, ToolCall

GEMINI = "google-gemini-v1"
SEALED_BY_GEMINI = f"{GEMINI}:"  # how every sealed signature begins
BEDROCK = "aws-bedrock-v1"
SEALED_BY_BEDROCK = f"{BEDROCK}:"  # before encrypted thoughts that only a model at Bedrock can read

THOUGHT, TEXT, END = "thought", "text", "end"  # places; a call's is `call_place`


def call_place(number: int) -> str:
    """The place of the call that is the `number`th of its message, counted from 0."""
    return f"call{number}"


def seal(place: str, signature: str) -> str:
    """Gemini's signature together with the place of the part that it was on."""
    return f"{SEALED_BY_GEMINI}{place}:{signature}"


def family(sealed: str | None) -> str | None:
    """The family that made a signature, as far as its text tells; None if it does not."""
    if sealed is None:
        return None
    return next((name for name in (GEMINI, BEDROCK) if sealed.startswith(f"{name}:")), None)


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
