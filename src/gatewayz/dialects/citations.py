"""Citations between the dialects. OpenAI's annotations point into the answer, Anthropic's into the source."""

from typing import Any


def to_openai(citation: Any, start: int, end: int) -> dict[str, Any]:
    """An annotation of the answer's characters `start` to `end`; one that is OpenAI's already is kept.

    A citation of a document, for which OpenAI has no form, keeps its members under its own type.
    """
    if not isinstance(citation, dict):
        return {"type": "citation", "citation": citation}
    if "url_citation" in citation or citation.get("type") in ("url_citation", "file_citation"):
        return citation
    if isinstance(citation.get("url"), str):
        found = {"start_index": start, "end_index": end, "url": citation["url"], "title": citation.get("title") or ""}
        return {"type": "url_citation", "url_citation": found}
    kind = str(citation.get("type") or "citation")
    return {"type": kind, kind: {name: value for name, value in citation.items() if name != "type"}}


def to_anthropic(annotation: Any) -> dict[str, Any] | None:
    """A citation for an Anthropic client; one that is Anthropic's already is kept, one without source is None."""
    if not isinstance(annotation, dict):
        return None
    kind = annotation.get("type")
    inner = annotation.get("url_citation", annotation if kind == "url_citation" else None)
    if isinstance(inner, dict) and isinstance(inner.get("url"), str):
        return {
            "type": "web_search_result_location",
            "cited_text": "",
            "url": inner["url"],
            "title": inner.get("title") or None,
            "encrypted_index": "",
        }
    if isinstance(kind, str) and isinstance(annotation.get(kind), dict):
        return {"type": kind, **annotation[kind]}
    return annotation if isinstance(annotation.get("cited_text"), str) else None


def from_urls(urls: Any) -> tuple[dict[str, Any], ...]:
    """Annotations of a bare list of addresses, as Perplexity sends it."""
    if not isinstance(urls, list):
        return ()
    return tuple(
        {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 0, "url": url, "title": ""}}
        for url in urls
        if isinstance(url, str)
    )
