"""The command line tool `llm`, with the gateway's models in its file of OpenAI-like models."""

import json
import os
import subprocess
import sys
from pathlib import Path

folder = Path(os.environ["SCRATCH"])
entry = {
    "model_id": "gatewayz",
    "model_name": os.environ["MODEL"],
    "api_base": f"{os.environ['GATEWAY_URL']}/v1",
    "api_key_name": "gatewayz",
    "supports_tools": True,
}
(folder / "extra-openai-models.yaml").write_text(json.dumps([entry]), encoding="utf-8")  # JSON is YAML
tool = (
    'def tide(place: str) -> str:\n    "Time of high water."\n    assert place == "Ostend"\n    return "Ostend 07:42"\n'
)


def llm(*words: str) -> str:
    command = [str(Path(os.environ["PROGRAMS"]) / "llm"), "-m", "gatewayz", "--key", os.environ["GATEWAY_KEY"], *words]
    environment = {**os.environ, "LLM_USER_PATH": str(folder)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout if done.returncode == 0 else sys.exit(done.stdout)


def chat() -> str:
    return llm("--no-stream", "When is high water in Ostend?")


def stream() -> str:
    return llm("When is high water in Ostend?")


def tools() -> str:
    return llm("--functions", tool, "When is high water in Ostend?")


print(globals()[sys.argv[1]]())
