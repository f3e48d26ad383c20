"""Sources that Gemini names for its answer, as annotations in the form of Chat Completions.

Its positions are bytes of UTF-8 within a candidate's text, which clients count in characters.
"""

from typing import Any


def annotations(candidate_text: str, grounding: Any, citations: Any) -> tuple[dict[str, Any], ...]:
    """One annotation for each passage and each of its sources; sources without an address are left out."""
    found = [*_grounded(grounding), *_cited(citations)]
    if not found:
        return ()
    data = candidate_text.encode("utf-8", "surrogatepass")
    return tuple(
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": _characters(data, start),
                "end_index": _characters(data, end),
                "url": url,
                "title": title,
            },
        }
        for start, end, url, title in found
    )


def _grounded(grounding: Any) -> list[tuple[int, int, str, str]]:
    if not isinstance(grounding, dict):
        return []
    sources = [_source(chunk) for chunk in _list(grounding.get("groundingChunks"))]
    found: list[tuple[int, int, str, str]] = []
    for support in _list(grounding.get("groundingSupports")):
        if not isinstance(support, dict):
            continue
        start, end = _span(support.get("segment"))
        for index in _list(support.get("groundingChunkIndices")):
            source = sources[index] if type(index) is int and 0 <= index < len(sources) else None
            if source is not None:
                found.append((start, end, *source))
    return found


def _source(chunk: Any) -> tuple[str, str] | None:
    """(address, title) of a chunk."""
    for kind in ("web", "retrievedContext", "maps"):
        inner = chunk.get(kind) if isinstance(chunk, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("uri"), str) and inner["uri"]:
            title = inner.get("title")
            return inner["uri"], title if isinstance(title, str) else ""
    return None


def _cited(citations: Any) -> list[tuple[int, int, str, str]]:
    """Passages that the model recites: `citationSources` at one endpoint, `citations` at the other."""
    if not isinstance(citations, dict):
        return []
    found: list[tuple[int, int, str, str]] = []
    for citation in _list(citations.get("citationSources")) + _list(citations.get("citations")):
        if isinstance(citation, dict) and isinstance(citation.get("uri"), str) and citation["uri"]:
            title = citation.get("title")
            found.append((*_span(citation), citation["uri"], title if isinstance(title, str) else ""))
    return found


def _span(segment: Any) -> tuple[int, int]:
    start, end = (segment.get("startIndex"), segment.get("endIndex")) if isinstance(segment, dict) else (0, 0)
    return (start if type(start) is int else 0), (end if type(end) is int else 0)


def _characters(data: bytes, position: int) -> int:
    """How many characters stand before this byte."""
    return len(data[: max(0, position)].decode("utf-8", "ignore"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def grounding_metadata(text: str, found: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Annotations in the form of Chat Completions as Gemini tells them; None if none of them names a source."""
    chunks: list[dict[str, Any]] = []
    supports: list[dict[str, Any]] = []
    for annotation in found:
        chunk = _chunk(annotation)
        if chunk is None:
            continue
        if chunk not in chunks:
            chunks.append(chunk)
        inner = annotation.get("url_citation", annotation)
        start, end = _place(inner, "start_index"), _place(inner, "end_index")
        if start < end <= len(text):
            passage = text[start:end]
            begin = len(text[:start].encode("utf-8", "surrogatepass"))
            length = len(passage.encode("utf-8", "surrogatepass"))
            segment: dict[str, Any] = {"endIndex": begin + length, "text": passage}
            if begin:
                segment["startIndex"] = begin  # numbers that are 0 are not sent
            supports.append({"segment": segment, "groundingChunkIndices": [chunks.index(chunk)]})
    if not chunks:
        return None
    return {"groundingChunks": chunks, **({"groundingSupports": supports} if supports else {})}


def _chunk(annotation: dict[str, Any]) -> dict[str, Any] | None:
    """The source of an annotation: an address, or a document by its title and the words that were cited."""
    inner = annotation.get("url_citation", annotation)
    if isinstance(inner, dict) and isinstance(inner.get("url"), str):
        title = inner.get("title")
        return {"web": {"uri": inner["url"], "title": title if isinstance(title, str) else ""}}
    inner = annotation.get(str(annotation.get("type")))
    if not isinstance(inner, dict):
        return None
    title, cited = inner.get("document_title"), inner.get("cited_text")
    known = {"title": title, "text": cited}
    context = {name: value for name, value in known.items() if isinstance(value, str) and value}
    return {"retrievedContext": context} if context else None


def _place(inner: Any, name: str) -> int:
    value = inner.get(name) if isinstance(inner, dict) else None
    return value if type(value) is int and value >= 0 else 0
