"""Metrics and logs: held counters on the hot path, one JSON line per event, nothing that could carry a secret.

With several worker processes the figures of all of them are added up (prometheus-client's multiprocess mode, switched on by
`PROMETHEUS_MULTIPROC_DIR`, which `serve --workers` sets before it starts them).
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO, NamedTuple, TextIO

import msgspec
import structlog
from msgspec import structs
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder

from gatewayz.infra.tally import Tally

_DURATIONS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_MAX_MODELS = 500
_PROMPT, _CACHED = "prompt_tokens", "cached_prompt_tokens"


class DerivedGauge(NamedTuple):
    """A gauge that is taken from other families when somebody looks."""

    name: str
    meaning: str
    labels: tuple[str, ...]


CACHE_RATE = DerivedGauge(
    "prompt_cache_hit_ratio",
    "Share of prompt tokens read from providers' caches since the processes started, 0 to 1.",
    ("model",),
)


class Metrics:
    """The metric families of one process. Label values come from closed sets: routes, slugs, statuses, catalog ids."""

    def __init__(self) -> None:
        multiprocess_mode = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        # In multiprocess mode the values live in files and the default registry must not be read twice.
        self.registry = CollectorRegistry()
        self._multiprocess = multiprocess_mode
        self._models: set[str] = set()
        self.tally = Tally()
        self._count_requests(self.registry)
        self._count_providers(self.registry)
        self._show_state(self.registry)

    def _count_requests(self, own: CollectorRegistry) -> None:
        self.http_requests = Counter(
            "http_requests", "Requests by route, method and status.", ["endpoint", "method", "status"], registry=own
        )
        self.http_duration = Histogram(
            "http_request_duration_seconds", "Time to the last byte.", ["endpoint"], buckets=_DURATIONS_S, registry=own
        )
        self.inference = Counter(
            "model_inference_requests",
            "Inference by model, provider and status.",
            ["model", "provider", "status"],
            registry=own,
        )
        self.inference_duration = Histogram(
            "model_inference_duration_seconds", "Whole inference.", ["provider"], buckets=_DURATIONS_S, registry=own
        )
        self.first_token = Histogram(
            "time_to_first_token_seconds", "Until the first content.", ["provider"], buckets=_DURATIONS_S, registry=own
        )
        self.tokens = Counter("tokens", "Tokens by kind.", ["provider", "kind"], registry=own)
        self.prompt_tokens = Counter(
            _PROMPT, "Prompt tokens of answers whose usage was reported.", ["model", "provider"], registry=own
        )
        self.cached_prompt_tokens = Counter(
            _CACHED, "Of these, tokens read from the provider's prompt cache.", ["model", "provider"], registry=own
        )
        self.sticking = Counter(
            "conversation_placements",
            "Turns of conversations by whether they stayed where they were served last.",
            ["decision"],
            registry=own,
        )
        self.cost = Counter("gateway_cost_per_provider_usd", "Charged for answers, in USD.", ["provider"], registry=own)
        self.credits = Counter("credits_deducted_usd", "Charged to accounts, in USD.", registry=own)
        self.refunds = Counter(
            "refunds", "Requests whose hold was given back after a provider's failure.", registry=own
        )

    def _count_providers(self, own: CollectorRegistry) -> None:
        self.attempts = Counter(
            "provider_attempts", "Attempts by provider and outcome.", ["provider", "outcome"], registry=own
        )
        self.breaker_moves = Counter(
            "circuit_breaker_state_transitions", "Moves of breakers.", ["provider", "from", "to"], registry=own
        )

        self.breaker_state = Gauge(
            "circuit_breaker_current_state",
            "0 closed, 1 half open, 2 open.",
            ["provider"],
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self.model_syncs = Counter(
            "model_syncs", "Reads of providers' model lists.", ["provider", "status"], registry=own
        )
        self.unknown_chunks = Counter(
            "stream_chunks_unrecognized", "Chunks of unknown form.", ["provider"], registry=own
        )

    def _show_state(self, own: CollectorRegistry) -> None:
        self.in_flight = Gauge("requests_in_flight", "Inference under way.", registry=own, multiprocess_mode="livesum")
        self.ledger_queue = Gauge(
            "ledger_queue_depth", "Settlements waiting.", registry=own, multiprocess_mode="livesum"
        )
        self.ledger_batches = Gauge(
            "ledger_batches", "Group commits so far.", registry=own, multiprocess_mode="livesum"
        )
        self.ledger_away = Gauge("ledger_unreachable", "1 while commits fail.", registry=own, multiprocess_mode="max")
        self.reconciliation_drifts = Gauge(
            "reconciliation_drifts",
            "What did not agree in the last reconciliation.",
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self.leases = Gauge(
            "balance_slices_held", "Leased slices of balances.", registry=own, multiprocess_mode="livesum"
        )
        self.velocity = Gauge(
            "velocity_mode_active", "1 while limits are reduced.", registry=own, multiprocess_mode="max"
        )
        self.refused = Gauge(
            "rate_limited_requests", "Refusals by layer.", ["layer"], registry=own, multiprocess_mode="livesum"
        )
        self.auth_cache = Gauge(
            "auth_cache_lookups", "Keys found in memory or not.", ["result"], registry=own, multiprocess_mode="livesum"
        )
        self.cache_lookups = Gauge(
            "cache_lookups",
            "Look-ups by cache and result.",
            ["cache", "result"],
            registry=own,
            multiprocess_mode="livesum",
        )
        self.cache_entries = Gauge(
            "cache_entries", "Entries kept in memory.", ["cache"], registry=own, multiprocess_mode="livesum"
        )
        self.cache_bytes = Gauge(
            "cache_bytes", "Bytes kept in memory.", ["cache"], registry=own, multiprocess_mode="livesum"
        )
        self.cache_fallback = Gauge(
            "cache_fallback",
            "1 while memory stands in for Redis.",
            ["cache"],
            registry=own,
            multiprocess_mode="max",
        )
        self.redis_up = Gauge("redis_link_up", "1 while Redis answers.", registry=own, multiprocess_mode="min")

    def model_label(self, model: str | None) -> str:
        """The model as a label; models beyond the first few hundred share one, so that cardinality stays bounded."""
        if model is None:
            return "unresolved"
        if model in self._models:
            return model
        if len(self._models) >= _MAX_MODELS:
            return "other"
        self._models.add(model)
        return model

    def expose(self, accept: str | None) -> tuple[bytes, str]:
        """The exposition and its content type (Prometheus text, or OpenMetrics if accepted)."""
        self.tally.flush()
        encoder, content_type = choose_encoder(accept or "")
        registry: Any = self.registry
        if self._multiprocess:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return encoder(_WithCacheRates(registry)), content_type


class _WithCacheRates:
    """A registry with one family more: the share of prompt tokens that came from caches, by model.

    It is a quotient of sums, so it is taken when somebody looks: shares of several processes cannot be added up.
    """

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """The families of the registry, then the rates."""
        sums: dict[str, dict[str, float]] = {_PROMPT: {}, _CACHED: {}}
        for family in self._registry.collect():
            by_model = sums.get(family.name, {})
            for sample in family.samples if family.name in sums else ():
                if sample.name.endswith("_total"):
                    model = sample.labels["model"]
                    by_model[model] = by_model.get(model, 0.0) + sample.value
            yield family
        rates = GaugeMetricFamily(CACHE_RATE.name, CACHE_RATE.meaning, labels=CACHE_RATE.labels)
        for model, prompt in sums[_PROMPT].items():
            if prompt > 0:
                rates.add_metric([model], sums[_CACHED].get(model, 0.0) / prompt)
        yield rates


class _CannotFail:
    """A text file of which a full disk costs lines, never the work that wrote them."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Writes what can be written."""
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        """Flushes what can be flushed."""
        with contextlib.suppress(OSError):
            self._file.flush()


def configure_logging(level: str, *, as_json: bool) -> None:
    """Logs to standard error: JSON lines, or readable lines on a terminal. May be called again."""
    number = getattr(logging, level.upper())
    output: Any = _CannotFail(sys.stderr)
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=max(number, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )


class LogLine(msgspec.Struct, gc=False):
    """What every line of a request begins with; its own fields, of values that JSON has, follow in a subclass."""

    event: str
    level: str
    timestamp: str


class RequestLog:
    """One line per request, as cheap as a line can be: encoded and written in bunches.

    Lines wait at most `FLUSH_S`; a process that is killed loses those of its last moment, and nothing but log lines.
    """

    FLUSH_S = 0.1
    MAX_LINES = 256

    def __init__(self, stream: BinaryIO, level: str, *, as_json: bool) -> None:
        self._stream = stream
        self.enabled = level in ("debug", "info")
        self._as_json = as_json
        self._waiting: list[tuple[int, LogLine]] = []
        self._encode_lines = msgspec.json.Encoder().encode_lines

    def write(self, at_us: int, line: LogLine) -> None:
        """Notes a request that began at `at_us`, which becomes the line's timestamp. Only while `enabled`."""
        waiting = self._waiting
        waiting.append((at_us, line))
        size = len(waiting)
        if size == 1:
            asyncio.get_running_loop().call_later(self.FLUSH_S, self.flush)
        elif size >= self.MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Writes what waits. May be called at any time."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        lines = _with_times(waiting)
        text = self._encode_lines(lines) if self._as_json else b"".join(map(_readable, lines))
        # A full disk costs lines of the log, never the request that wrote them.
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


def _with_times(waiting: list[tuple[int, LogLine]]) -> list[LogLine]:
    """The lines, each with its timestamp; many share a second, whose text is made once."""
    lines, told, prefix = [], -1, ""
    for at_us, line in waiting:
        second, micro = divmod(at_us, 1_000_000)
        if second != told:
            told = second
            prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        line.timestamp = "%s%03dZ" % (prefix, micro // 1000)  # noqa: UP031 (quicker)
        lines.append(line)
    return lines


def _readable(line: LogLine) -> bytes:
    """A line for people at a terminal."""
    fields = list(structs.asdict(line).items())[len(LogLine.__struct_fields__) :]
    said = " ".join(f"{name}={value}" for name, value in fields)
    return f"{line.timestamp} [{line.level}] {line.event} {said}\n".encode()
