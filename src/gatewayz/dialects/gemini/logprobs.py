"""Log probabilities of the tokens of an answer, in the form of Chat Completions."""

from typing import Any


def openai_logprobs(result: Any) -> dict[str, Any] | None:
    """The `logprobs` of a choice; None if Gemini gave none."""
    chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
    if not isinstance(chosen, list) or not chosen:
        return None
    others = result.get("topCandidates")
    others = others if isinstance(others, list) else []
    content = []
    for place, token in enumerate(chosen):
        entry = _entry(token)
        if entry is not None:
            top = others[place].get("candidates") if place < len(others) and isinstance(others[place], dict) else None
            alternatives = [_entry(each) for each in (top if isinstance(top, list) else ())]
            content.append({**entry, "top_logprobs": [each for each in alternatives if each is not None]})
    return {"content": content, "refusal": None} if content else None


def _entry(token: Any) -> dict[str, Any] | None:
    if not isinstance(token, dict) or not isinstance(token.get("token"), str):
        return None
    value = token.get("logProbability")
    text = token["token"]
    probability = value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
    return {"token": text, "logprob": probability, "bytes": list(text.encode("utf-8", "surrogatepass"))}
