"""Which clients are driven, and what the scripted provider says to each of their steps."""

from dataclasses import dataclass, field
from typing import Any

ANSWER = "High water in Ostend is at 07:42."
HEARD = "Ostend 07:42"  # what the tools of the clients answer
SPLIT = {"text": ANSWER, "chunk_chars": 6}


@dataclass(frozen=True)
class Step:
    """The answers of the provider in order, what the client prints in the end, what the last request has to bring back."""

    answers: tuple[dict[str, Any], ...] = (SPLIT,)
    prints: str = ANSWER
    brings: str | None = None


def calls(name: str, arguments: dict[str, Any]) -> Step:
    """A step of two turns: the model calls this tool, hears its result, and answers."""
    call = {"id": "call_tide", "name": name, "arguments": arguments}
    return Step(({"tool_calls": [call]}, SPLIT), brings=HEARD)


STEPS = {"chat": Step(), "stream": Step(), "tools": calls("tide", {"place": "Ostend"})}
TIDE = {"place": "Ostend", "at": "07:42"}
OBJECT = Step(({"tool_calls": [{"id": "call_tide", "name": "Tide", "arguments": TIDE}]},), "place='Ostend' at='07:42'")
INSTRUCTOR = {
    "chat": Step(({"text": '{"place": "Ostend", "at": "07:42"}'},), OBJECT.prints),
    "stream": OBJECT,
    "tools": OBJECT,
}
FILE = "```\n07:42\n```\n"
AIDER = {"chat": Step(), "stream": Step(), "edit": Step(({"text": f"I write it down.\n\ntide.txt\n{FILE}"},), "07:42")}
CLAUDE_CODE = {**STEPS, "tools": calls("Read", {"file_path": "{scratch}/tide.txt"})}
CODEX = {"stream": Step(), "tools": calls("exec_command", {"cmd": "cat tide.txt"})}


@dataclass(frozen=True)
class Client:
    """One client: its folder, the surfaces of the gateway that it can speak to, its steps."""

    folder: str
    surfaces: tuple[str, ...]
    steps: dict[str, Step] = field(default_factory=lambda: STEPS)
    note: str = ""


CLIENTS = (
    Client("openai-python", ("openai", "responses")),
    Client("openai-node", ("openai", "responses")),
    Client("anthropic-python", ("anthropic",)),
    Client("anthropic-node", ("anthropic",)),
    Client("google-genai", ("gemini",)),
    Client("langchain", ("openai", "anthropic")),
    Client("llamaindex", ("openai",)),
    Client("pydantic-ai", ("openai", "responses", "anthropic")),
    Client("instructor", ("openai",), INSTRUCTOR, "answers as objects: by schema, by tool"),
    Client("openai-agents", ("responses", "openai")),
    Client("vercel-ai", ("openai", "anthropic")),
    Client("llm", ("openai",)),
    Client("aider", ("openai",), AIDER, "edits a file by a text format instead of tools"),
    Client("claude-code", ("anthropic",), CLAUDE_CODE, "tools: its own, reading a file"),
    Client("codex", ("responses",), CODEX, "always streams; tools: its own, running a command"),
)
