"""Claude Code without a terminal: it answers, streams, and reads a file with its own tool."""

import json
import os
import subprocess
import sys
from pathlib import Path

folder = Path(os.environ["SCRATCH"])
(folder / "tide.txt").write_text("Ostend 07:42\n", encoding="utf-8")
environment = {
    **os.environ,
    "ANTHROPIC_BASE_URL": os.environ["GATEWAY_URL"],
    "ANTHROPIC_AUTH_TOKEN": os.environ["GATEWAY_KEY"],
    "ANTHROPIC_MODEL": os.environ["MODEL"],
    "ANTHROPIC_DEFAULT_HAIKU_MODEL": os.environ["SIDE_MODEL"],  # titles and other small work
    "CLAUDE_CONFIG_DIR": str(folder / "settings"),
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
}


def claude(*words: str) -> str:
    command = [str(Path(os.environ["PROGRAMS"]) / "claude"), "-p", "When is high water in Ostend?", *words]
    done = subprocess.run(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    return done.stdout if done.returncode == 0 else sys.exit(done.stdout)


def chat() -> str:
    return claude()


def stream() -> str:
    lines = claude("--output-format", "stream-json", "--verbose", "--include-partial-messages").splitlines()
    events = [told["event"] for told in map(json.loads, lines) if told["type"] == "stream_event"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    pieces = [delta["text"] for delta in deltas if delta["type"] == "text_delta"]
    assert len(pieces) > 1, lines
    return "".join(pieces)


def tools() -> str:
    return claude("--allowedTools", "Read")


print(globals()[sys.argv[1]]())
