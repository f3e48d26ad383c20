"""Codex without a terminal: it answers, and runs a command with its own tool. It always streams."""

import json
import os
import subprocess
import sys
from pathlib import Path

folder = Path(os.environ["SCRATCH"])
home = folder / "codex-home"
home.mkdir(exist_ok=True)
(folder / "tide.txt").write_text("Ostend 07:42\n", encoding="utf-8")
(home / "config.toml").write_text(
    f"""model = {json.dumps(os.environ["MODEL"])}
model_provider = "gatewayz"
web_search = "disabled"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.gatewayz]
name = "gatewayz"
base_url = "{os.environ["GATEWAY_URL"]}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
""",
    encoding="utf-8",
)


def codex(*words: str) -> str:
    command = [str(Path(os.environ["PROGRAMS"]) / "codex"), "exec", "--skip-git-repo-check", *words]
    environment = {**os.environ, "CODEX_HOME": str(home)}
    command.append("When is high water in Ostend?")
    done = subprocess.run(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    return done.stdout if done.returncode == 0 else sys.exit(done.stdout)


def stream() -> str:
    return codex("--sandbox", "read-only")


def tools() -> str:
    # The sandbox needs rights of the kernel that a container may not have; the only command is `cat` of our own file.
    return codex("--dangerously-bypass-approvals-and-sandbox")


print(globals()[sys.argv[1]]())
