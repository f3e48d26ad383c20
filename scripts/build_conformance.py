"""Writes docs/reference/conformance.md from what the conformance suite finds (`make conformance`)."""

import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from gatewayz.dialects import JOB_DIALECTS  # noqa: E402
from gatewayz.providers.profile import load_profiles  # noqa: E402
from tests.conformance.cells import CELLS, Cell, Finding, find  # noqa: E402
from tests.conformance.house import running  # noqa: E402
from tests.conformance.ingress import INGRESSES  # noqa: E402
from tests.conformance.profile_table import CAPABILITIES, JOBS  # noqa: E402
from tests.conformance.rows import ROWS  # noqa: E402
from tests.conformance.upstreams import UPSTREAMS  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "conformance.md"
_NOTE = "<!-- Written by scripts/build_conformance.py (`make conformance`); edit tests/conformance, not this page. -->"
_SPEAKS = {
    "openai": "OpenAI Chat Completions",
    "openai_responses": "OpenAI Responses",
    "anthropic": "Anthropic Messages",
    "gemini": "Gemini generateContent",
    "bedrock": "Bedrock Converse",
    "cohere": "Cohere chat",
}
_INTRO = (
    "What becomes of each ability when a client of one dialect meets a provider of another. Every cell is tried against a"
    " running gateway and a scripted provider, plain and streamed where both exist: what the provider heard and what the"
    " client was told are compared with what was meant. The suite fails where this page and the gateway differ.",
    "- **forwarded**: both speak the same dialect; every member that the client sent arrives in the client's own bytes.\n"
    "- **faithful**: translated, and the same meaning on both sides.\n"
    "- **downgraded**: less arrives, in the way that the footnote tells, and nothing else is lost.\n"
    "- **refused**: 400, naming the field of the footnote, before anything is sent or charged.\n"
    "- **n/a**: one of the two dialects has no words for it.",
    "*OpenAI-like* is a provider without quirks; *OpenRouter* stands for those that take cache marks and signed reasoning;"
    " *Responses-only* speaks the"
    " Responses API and nothing else; *Gemini* is of the third generation. What some of the rows try:",
)


def page(findings: Mapping[Cell, Finding]) -> str:
    """The text of the page."""
    notes: dict[str, int] = {}
    tables = []
    for ingress in INGRESSES.values():
        rows = [(row, *(_cell(findings[row, ingress.name, upstream], notes) for upstream in UPSTREAMS)) for row in ROWS]
        head = ("", *(upstream.title for upstream in UPSTREAMS.values()))
        tables += [f"## {ingress.title}", _table(head, rows)]
    troubles = [(row.name, str(row.trouble.act.__doc__)) for row in ROWS.values() if row.trouble is not None]
    footnotes = "\n".join(f"[^{number}]: {reason}" for reason, number in notes.items())
    blocks = ["# Conformance", _NOTE, *_INTRO, _table(("row", "what must be true"), troubles), *tables]
    return "\n\n".join([*blocks, *_profiles(), footnotes]) + "\n"


def _cell(finding: Finding, notes: dict[str, int]) -> str:
    if not finding.reason:
        return finding.kind
    reason = finding.reason[:1].upper() + finding.reason[1:]
    reason = reason if reason.endswith(".") else reason + "."
    return f"{finding.kind}[^{notes.setdefault(reason, len(notes) + 1)}]"


def _profiles() -> Iterable[str]:
    yield "## Providers"
    yield (
        "Every packaged profile that answers chats passes each of these at its own address, signed with its own"
        " credential. Each quirk is proven on the wire: a provider that has it is spoken to otherwise than one that has not."
    )
    yield _table(("tried", "what must be true"), CAPABILITIES.items())
    rows = [
        (f"`{each.slug}`", _SPEAKS[each.dialect], ", ".join(f"`{name}`" for name in each.quirk_reasons))
        for each in load_profiles().values()
        if each.chats
    ]
    yield _table(("provider", "speaks", "quirks on the wire"), rows)
    yield "## Providers that answer by jobs"
    yield "Every profile with such services passes each of these at its own address, signed with its own credential."
    yield _table(("tried", "what must be true"), JOBS.items())
    jobs = [
        (f"`{each.slug}`", ", ".join(f"`{name}`" for name, rule in each.ways.items() if rule.dialect in JOB_DIALECTS))
        for each in load_profiles().values()
    ]
    yield _table(("provider", "services"), [row for row in jobs if row[1]])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    """Tries every cell and writes the page."""
    with tempfile.TemporaryDirectory() as home, running(Path(home)) as house:
        PAGE.write_text(page({cell: find(house, cell) for cell in CELLS}), encoding="utf-8")


if __name__ == "__main__":
    main()
