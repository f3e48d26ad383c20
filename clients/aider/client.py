"""aider: it answers, and it edits a file in a repository of its own by a text format, not by tools."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

folder = Path(os.environ["SCRATCH"]) / "repository"


def aider(*words: str) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "tide.txt").write_text("unknown\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    command = [str(Path(os.environ["PROGRAMS"]) / "aider"), "--model", f"openai/{os.environ['MODEL']}"]
    command += ["--openai-api-base", f"{os.environ['GATEWAY_URL']}/v1", "--openai-api-key", os.environ["GATEWAY_KEY"]]
    quiet = ["--no-check-update", "--analytics-disable", "--no-show-model-warnings", "--no-gitignore", "--no-pretty"]
    quiet += ["--no-auto-commits", "--no-detect-urls", "--no-show-release-notes", "--map-tokens", "0"]
    command += [*quiet, "--yes-always", *words]
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else it is fetched from its makers
    done = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True)
    return done.stdout if done.returncode == 0 else sys.exit(done.stdout)


def chat() -> str:
    return aider("--no-stream", "--edit-format", "ask", "--message", "When is high water in Ostend?")


def stream() -> str:
    return aider("--stream", "--edit-format", "ask", "--message", "When is high water in Ostend?")


def edit() -> str:
    aider("--edit-format", "whole", "--message", "Write the time into the file.", "tide.txt")
    return (folder / "tide.txt").read_text(encoding="utf-8")


print(globals()[sys.argv[1]]())
