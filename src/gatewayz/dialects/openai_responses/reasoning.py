"""Reasoning of any family inside a Responses conversation: its text in the open, its signature in `encrypted_content`.

Clients give a reasoning item back as it was, so that its family gets its signature again on the next turn. What was made
by the Responses API itself is sealed with its provider (`dialects/signatures.py`); what another dialect signed or encrypted
carries the words by which it is known again: `gatewayz-v1:signed:<family>:…` or `gatewayz-v1:hidden:<family>:…`.
"""

from typing import Any

from gatewayz.core.chat import RedactedThinking, Thinking
from gatewayz.dialects import signatures
from gatewayz.dialects.parameters import array_of_objects, optional_text

CARRIED = "gatewayz-v1:"
_SIGNED, _HIDDEN, _UNTOLD = "signed", "hidden", "-"

Reasoned = Thinking | RedactedThinking


def carried(signature: str, family: str | None, *, hidden: bool) -> str:
    """The `encrypted_content` in which a signature (or, `hidden`, a block of encrypted reasoning) travels."""
    if signature.startswith(signatures.SEALED_BY_OPENAI):
        return signature
    family = family or signatures.family(signature) or _UNTOLD
    return f"{CARRIED}{_HIDDEN if hidden else _SIGNED}:{family}:{signature}"


def reasoned(text: str, encrypted: str | None, maker: str | None = None) -> Reasoned | None:
    """The part that a reasoning item holds; None for an item that says nothing.

    `maker` is the provider whose answer it is in; None: a client sent it, in the form in which it was given out.
    """
    if not encrypted:
        return Thinking(text) if text else None
    if maker is not None or not encrypted.startswith(CARRIED):
        given_out = maker is None and signatures.open_openai(encrypted) is not None
        sealed = encrypted if given_out else signatures.seal_openai(maker or "", encrypted)
        if text:
            return Thinking(text, sealed, signatures.OPENAI)
        return RedactedThinking(sealed, signatures.OPENAI)
    kind, _, rest = encrypted[len(CARRIED) :].partition(":")
    told, _, signature = rest.partition(":")
    family = None if told in ("", _UNTOLD) else told
    if not signature:
        return Thinking(text) if text else None
    if kind == _HIDDEN and not text:
        return RedactedThinking(signature, family)
    return Thinking(text, signature, family)


def encrypted_for(encrypted: str, provider: str) -> str | None:
    """What `provider` gets back of an `encrypted_content`: its own bytes, or None if it was made elsewhere.

    What is not sealed was not given out by the gateway; only the provider can tell whether it made it.
    """
    if encrypted.startswith(CARRIED):
        return None
    opened = signatures.open_openai(encrypted)
    if opened is None:
        return encrypted
    maker, bare = opened
    return bare if maker in ("", provider) else None


def check_reasoning(item: dict[str, Any], param: str) -> None:
    """Raises InvalidRequest naming a member of a client's reasoning item that would be left out for its wrong type."""
    optional_text(item, "encrypted_content", param)
    for name in ("content", "summary"):
        parts = item.get(name)
        if parts is None:
            continue
        array_of_objects(f"{param}.{name}", parts)
        for index, part in enumerate(parts):
            optional_text(part, "text", f"{param}.{name}[{index}]")


def reasoning_text(item: dict[str, Any]) -> str:
    """The text of a reasoning item: what was thought if it is told, else its summary."""
    for name in ("content", "summary"):
        parts = item.get(name)
        texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        told = [text for text in texts if isinstance(text, str) and text]
        if told:
            return "\n\n".join(told)
    return ""
