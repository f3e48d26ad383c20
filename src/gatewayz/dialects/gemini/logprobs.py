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


def logprobs_result(logprobs: Any) -> dict[str, Any] | None:
    """The `logprobs` of a choice of Chat Completions as Gemini tells them; None if there are none."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list) or not content:
        return None
    tokens = [token for token in content if isinstance(token, dict)]
    top = [[_token(each) for each in token.get("top_logprobs") or () if isinstance(each, dict)] for token in tokens]
    result: dict[str, Any] = {"chosenCandidates": [_token(token) for token in tokens]}
    return {**result, "topCandidates": [{"candidates": each} for each in top]} if any(top) else result


def _token(token: dict[str, Any]) -> dict[str, Any]:
    return {"token": token.get("token"), "logProbability": token.get("logprob")}
