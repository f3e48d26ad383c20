"""Other gateways, when `bench/install_peers.sh` has put them here: LiteLLM and Portkey, tuned as their makers advise."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from bench.targets import CHAT, MESSAGES, ROOT, Absent, Bench, Target, start
from bench.trials import Call, Shape
from tests.servers import free_port

_WORK = ROOT / "bench" / ".work"
_KEY = "sk-bench"

# One worker per core, quiet logs, a master key and no database: without the engine of its ORM there are neither virtual
# keys nor spend records, so LiteLLM does less here than gatewayz.
_LITELLM = """\
model_list:
  - model_name: gpt-4o-mini
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-upstream}}
  - model_name: paced
    litellm_params: {{model: openai/paced, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-upstream}}
  - model_name: claude-sonnet-4
    litellm_params: {{model: anthropic/claude-sonnet-4, api_base: "http://127.0.0.1:{upstream}", api_key: sk-upstream}}
  - model_name: paced-messages
    litellm_params: {{model: anthropic/paced, api_base: "http://127.0.0.1:{upstream}", api_key: sk-upstream}}
litellm_settings: {{set_verbose: false, json_logs: true, request_timeout: 600, telemetry: false, num_retries: 0}}
general_settings: {{master_key: {key}, proxy_batch_write_at: 60}}
"""
_LITELLM_ENV = {
    "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
}  # fmt: skip
_LITELLM_GENTLE = {"connections": 32, "rate": 20, "stream_rate": 4}


def litellm(bench: Bench) -> Target:
    """LiteLLM's proxy from the Python named by BENCH_LITELLM, else from bench/.work. Raises Absent if there is none."""
    python = Path(os.environ.get("BENCH_LITELLM") or _WORK / "litellm" / "bin" / "python")
    program = python.parent / "litellm"
    if not program.exists():
        raise Absent("not installed (bench/install_peers.sh litellm)")
    said = subprocess.run(
        [python, "-c", "from importlib.metadata import version; print(version('litellm'))"],
        capture_output=True, text=True,
    )  # fmt: skip
    config = bench.work / "litellm.yaml"
    config.write_text(_LITELLM.format(upstream=bench.upstream, key=_KEY))
    port = free_port()
    command: list[str | Path] = [
        program, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--config", config,
    ]  # fmt: skip
    key = (f"Authorization: Bearer {_KEY}",)
    calls: dict[Shape, Call] = {
        "chat": Call(CHAT, "gpt-4o-mini", key),
        "paced": Call(CHAT, "paced", key),
        "messages": Call(MESSAGES, "claude-sonnet-4", key),
        "translated": Call(CHAT, "claude-sonnet-4", key),
        "translated-paced": Call(CHAT, "paced-messages", key),
    }
    title = f"LiteLLM {said.stdout.strip()}, no database"
    return start(bench, "litellm", title, command, port, calls, env=_LITELLM_ENV, gentle=_LITELLM_GENTLE)


def portkey(bench: Bench) -> Target:
    """Portkey's gateway from the directory named by BENCH_PORTKEY, else from bench/.work. Raises Absent if there is none."""
    root = Path(os.environ.get("BENCH_PORTKEY") or _WORK / "portkey") / "node_modules" / "@portkey-ai" / "gateway"
    node = shutil.which("node")
    if node is None or not (root / "build" / "start-server.js").exists():
        raise Absent("not installed (bench/install_peers.sh portkey)")
    version = json.loads((root / "package.json").read_text())["version"]
    port = free_port()
    command: list[str | Path] = [node, "--import", ROOT / "bench" / "portkey_fix.mjs", "build/start-server.js"]
    command += [f"--port={port}", "--headless"]
    host = f"http://127.0.0.1:{bench.upstream}/v1"
    key = (f"Authorization: Bearer {_KEY}", f"x-portkey-custom-host: {host}")
    openai, anthropic = (*key, "x-portkey-provider: openai"), (*key, "x-portkey-provider: anthropic")
    calls: dict[Shape, Call] = {
        "chat": Call(CHAT, "gpt-4o-mini", openai),
        "paced": Call(CHAT, "paced", openai),
        "messages": Call(MESSAGES, "claude-sonnet-4", anthropic),
        "translated": Call(CHAT, "claude-sonnet-4", anthropic),
        "translated-paced": Call(CHAT, "paced", anthropic),
    }
    env = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    title = f"Portkey {version}, no keys, no billing"
    return start(bench, "portkey", title, command, port, calls, env=env, cwd=root)
