"""Prints what a large catalog costs: time and memory to build it, and time per answer, cold and warm.

.venv/bin/python scripts/measure_catalog.py [--models 10000] [--offers 3]
"""

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import msgspec

from gatewayz.api.public.model_entry import Standing
from gatewayz.api.public.shelf import Shelf, View, listing
from gatewayz.catalog import Catalog, Model, Offer, PriceSnapshot, build
from gatewayz.catalog.aliases import AliasTables
from gatewayz.catalog.listing import Filters, narrowed
from gatewayz.infra.answers import AnswerCache
from gatewayz.infra.clock import SystemClock
from gatewayz.infra.redis import RedisLink

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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--offers", type=int, default=3, help="offers of each model")
    options = parser.parse_args()
    print(json.dumps(measure(options.models, options.offers), indent=2))
