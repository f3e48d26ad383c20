"""A worker at rest holds what serving needs and nothing else: no library that only other ways of running it use."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"

# What each is for, and where it may be loaded: none of it on SQLite without Redis, before anybody asked for anything.
UNUSED = {
    "aiohttp": "calls through a proxy",
    "alembic": "migrations, in the child that prepares the database",
    "asyncpg": "PostgreSQL",
    "cryptography": "sealing keys and answers, service accounts",
    "disposable_email_domains": "accounts being opened",
    "dns": "no part of the product: addresses are not looked up",
    "gatewayz.cli.litellm": "another command",
    "gatewayz.cli.providers": "another command",
    "hiredis": "Redis",
    "mako": "no part of the product",
    "pydantic.v1": "models of the pydantic before the last",
    "redis": "Redis",
    "unittest": "tests",
    "yaml": "another command",
}
# Without pages that are shared with other processes. 86 when this was written, on Python 3.11 with the tools of development
# installed, of which structlog loads the console (rich, 4 MB).
MOST_MB = 92

# What `gatewayz serve` and uvicorn do with one worker, but for the socket.
WORKER = """
import asyncio, json, os, sys
from gatewayz.cli import command_named
command_named("serve.serve")
from gatewayz.settings import read_environment
from gatewayz.wiring.configuration import load_configuration
from gatewayz.wiring.prepare import prepare_apart

prepare_apart(load_configuration(read_environment()))
os.environ["GATEWAYZ_PREPARED"] = "1"
import httptools, uvloop
from gatewayz.asgi import app

async def rest():
    asked, told = asyncio.Queue(), asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan"}, asked.get, told.put))
    await asked.put({"type": "lifespan.startup"})
    started = await told.get()
    await asyncio.sleep(1.5)  # the loops in the background have acted once
    with open("/proc/self/smaps_rollup") as rollup:
        own_kib = next(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))
    loaded = sorted(name for name, module in sys.modules.items() if module is not None)
    print(json.dumps({"started": started["type"], "modules": loaded, "own_mb": own_kib * 1024 / 1e6}))
    await asked.put({"type": "lifespan.shutdown"})
    await running

uvloop.run(rest())
"""


@dataclass(frozen=True)
class AtRest:
    """A worker that has started and serves nobody yet."""

    modules: frozenset[str]
    own_mb: float


@pytest.fixture(scope="module")
def at_rest(tmp_path_factory: pytest.TempPathFactory) -> AtRest:
    if sys.platform != "linux":
        pytest.skip("memory is read as Linux tells it")
    home = tmp_path_factory.mktemp("home")
    environment = {
        "PYTHONPATH": str(SRC),
        "APP_ENV": "production",
        "GATEWAYZ_HOME": str(home),
        "GATEWAYZ_SECRET_KEY": "A" * 43 + "=",
        "OPENAI_API_KEY": "sk-nobody",
        "GATEWAYZ_MODEL_SYNC_INTERVAL_S": "0",
        "GATEWAYZ_HUGGINGFACE_ENRICHMENT": "false",
    }
    ran = subprocess.run([sys.executable, "-c", WORKER], env=environment, cwd=home, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["started"] == "lifespan.startup.complete", ran.stderr
    return AtRest(frozenset(told["modules"]), told["own_mb"])


def test_what_serving_does_not_need_is_not_loaded(at_rest: AtRest) -> None:
    assert {"gatewayz.gateway.pipeline", "gatewayz.api.app", "uvicorn", "sqlalchemy"} <= at_rest.modules
    loaded = {name: why for name, why in UNUSED.items() if name in at_rest.modules}
    assert not loaded, f"loaded, although they are for something else: {loaded}"


def test_a_worker_at_rest_is_small(at_rest: AtRest) -> None:
    assert 30 < at_rest.own_mb < MOST_MB
