"""Prints what a large catalog costs: time and memory to build it, and time per answer, cold and warm.

    .venv/bin/python scripts/measure_catalog.py [--models 10000] [--offers 3] [--live]

In this process, in CPU time; with `--live` through a gateway of its own, as a client on the same machine sees it: the whole
list, a page, a search, the list once more with its ETag, and the memory of the process. Those are times of a clock, the middle
of many, and so what else the machine does is in them.
"""

import argparse
import asyncio
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx2 as httpx
import msgspec

from gatewayz.api.public.model_entry import Standing
from gatewayz.api.public.shelf import Shelf, View, listing
from gatewayz.catalog import Catalog, Model, Offer, PriceSnapshot, build
from gatewayz.catalog.aliases import AliasTables
from gatewayz.catalog.listing import Filters, narrowed
from gatewayz.infra.answers import AnswerCache
from gatewayz.infra.clock import SystemClock
from gatewayz.infra.redis import RedisLink
from tests.live import LiveGateway

_WORDS = ("llama", "qwen", "mistral", "gpt", "claude", "gemini", "command", "phi", "deepseek", "yi", "falcon", "nova")
_NOTES = ("instruct", "chat", "coder", "vision", "mini", "large", "preview", "thinking", "base", "turbo")


def large_catalog(models: int, offers: int) -> Catalog:
    """A made-up catalog of that many models with that many offers each."""
    draw = random.Random(7)
    made: list[Model] = []
    offered: list[Offer] = []
    able = frozenset({"streaming", "tools", "json_object", "json_schema"})
    for number in range(models):
        name = f"{draw.choice(_WORDS)}-{draw.randint(1, 9)}.{draw.randint(0, 9)}-{draw.choice(_NOTES)}-{number}"
        model_id = f"org-{number % 300}/{name}"
        made.append(
            Model(
                id=model_id, name=name.replace("-", " ").title(), vendor=f"org-{number % 300}", kind="chat",
                context_length=draw.choice((8_000, 128_000, 1_000_000)), max_output_tokens=8_000,
                modality="text+image->text" if number % 3 else "text->text", capabilities=able,
                created_at_us=1_700_000_000_000_000 + number,
            )
        )  # fmt: skip
        for place in range(offers):
            price = PriceSnapshot(
                id=number * offers + place, source="made up", effective_from_us=0,
                prompt=draw.randint(1, 9) * 10**8, completion=draw.randint(1, 9) * 10**9,
            )  # fmt: skip
            offered.append(
                Offer(
                    id=price.id, model_id=model_id, provider=f"provider-{(number + place) % 33}", native_id=name,
                    price=price, context_length=8_000, max_output_tokens=8_000, capabilities=able, source="config",
                )
            )  # fmt: skip
    return build(made, offered, AliasTables({}, {}, {}, frozenset()))


def cpu_ms(work: Callable[[], Any], times: int = 1) -> float:
    """CPU milliseconds of this thread per call, the best of a few."""
    best = float("inf")
    for _ in range(times):
        start = time.thread_time()
        work()
        best = min(best, time.thread_time() - start)
    return best * 1000


def measure(models: int, offers: int) -> dict[str, float]:
    """Milliseconds of CPU per step, and megabytes."""
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.thread_time()
    catalog = large_catalog(models, offers)
    figures = {"catalog_build_ms": (time.thread_time() - start) * 1000}
    reach = frozenset((f"provider-{number}", "chat") for number in range(33))
    shelf = Shelf(catalog, reach, Standing())
    figures["shelf_ms"] = cpu_ms(lambda: Shelf(catalog, reach, Standing()))

    def whole(own: Shelf) -> bytes:
        rows = narrowed(own.rows, Filters())
        return msgspec.json.encode(listing([own.entry(row) for row in rows], len(rows), None, 0))

    figures["list_cold_ms"] = cpu_ms(lambda: whole(shelf))
    figures["list_again_ms"] = cpu_ms(lambda: whole(shelf), 5)
    wanted = Filters(provider="provider-3", capabilities=("tools",), max_price=5 * 10**8, modality="image")
    figures["filtered_ms"] = cpu_ms(lambda: narrowed(shelf.rows, wanted), 5)
    figures["index_ms"] = cpu_ms(shelf.index)
    index = shelf.index()
    for query in ("llama", "coder qwen 3.1", "gpt4", "no such thing"):
        figures[f"search_{query.replace(' ', '_')}_ms"] = cpu_ms(lambda query=query: index.find(query), 5)
    clock = SystemClock()
    answers = AnswerCache("measure", RedisLink(None, clock), clock, entries=10, life_s=300)
    body = whole(shelf)
    figures["warm_ms"] = asyncio.run(_warm(answers, body))
    figures["list_megabytes"] = len(body) / 1e6
    figures["memory_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb
    assert View(shelf, Standing()).rows
    return {name: round(value, 3) for name, value in figures.items()}


async def _warm(answers: AnswerCache, body: bytes) -> float:
    async def make() -> bytes:
        return body

    await answers.get("x", make)
    start = time.thread_time()
    for _ in range(100):
        await answers.get("x", make)
    return (time.thread_time() - start) * 10


def live(models: int, offers: int, times: int = 30) -> dict[str, float]:
    """Milliseconds by a client's clock, the middle of `times`, and megabytes; of a gateway that is started for it."""
    with tempfile.TemporaryDirectory(prefix="gatewayz-catalog-") as home:
        gateway = LiveGateway(Path(home), _configuration(models, offers), {"GATEWAYZ_IP_LIMIT_PER_MIN": "100000"})
        start = time.perf_counter()
        with gateway, httpx.Client(base_url=gateway.base_url, timeout=120, verify=False) as client:
            figures = {"start_s": time.perf_counter() - start}
            before_mb = _memory_mb(gateway.pid)
            paths = {
                "list": "/v1/models",
                "page": "/v1/models?limit=50&offset=5000",
                "filtered": "/v1/models?provider=provider-3&limit=50",
                "search": "/v1/models/search?q=coder+qwen",
            }
            for name, path in paths.items():
                first, again = _asked_ms(client, path), [_asked_ms(client, path) for _ in range(times)]
                figures |= {f"{name}_first_ms": first, f"{name}_warm_ms": statistics.median(again)}
            # Words that nobody has asked for yet, so that no answer is remembered.
            fresh = [_asked_ms(client, f"/v1/models/search?q={word}+{at}") for at, word in enumerate(_WORDS)]
            figures["search_new_words_ms"] = statistics.median(fresh)
            tag = client.get("/v1/models").headers["ETag"]
            known = [_asked_ms(client, "/v1/models", 304, tag) for _ in range(times)]
            figures["list_304_ms"] = statistics.median(known)
            figures["list_megabytes"] = len(client.get("/v1/models").content) / 1e6
            figures |= {"memory_started_mb": before_mb, "memory_asked_mb": _memory_mb(gateway.pid)}
    return {name: round(value, 2) for name, value in figures.items()}


def _asked_ms(client: httpx.Client, path: str, status: int = 200, tag: str | None = None) -> float:
    start = time.perf_counter()
    answer = client.get(path, headers={"If-None-Match": tag} if tag is not None else {})
    taken_ms = (time.perf_counter() - start) * 1000
    if answer.status_code != status:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:200]}")
    return taken_ms


def _memory_mb(pid: int) -> float:
    """Megabytes that a process holds now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def _configuration(models: int, offers: int) -> str:
    """The made-up catalog as a gatewayz.toml, beside the packaged one."""
    catalog = large_catalog(models, offers)
    lines = []
    for number in range(33):
        lines.append(f'[[providers]]\nslug = "provider-{number}"\nbase_url = "http://127.0.0.1:9/v1"\n')
    for model in catalog.models.values():
        lines.append(
            f'[[models]]\nid = "{model.id}"\nname = "{model.name}"\ncontext_length = {model.context_length}\n'
            f'modality = "{model.modality}"\nsupports_tools = true\nsupports_json_schema = true\n'
        )
        for offer in catalog.offers_of(model.id):
            price = offer.price
            if price is not None:
                lines.append(
                    f'[[models.offers]]\nprovider = "{offer.provider}"\nnative_id = "{offer.native_id}"\n'
                    f"price_prompt_usd_per_mtok = {price.prompt / 1e9}\n"
                    f"price_completion_usd_per_mtok = {price.completion / 1e9}\n"
                )
    return "".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--offers", type=int, default=3, help="offers of each model")
    parser.add_argument("--live", action="store_true", help="through a gateway, over HTTP")
    options = parser.parse_args()
    print(json.dumps((live if options.live else measure)(options.models, options.offers), indent=2))
