"""What is measured: the loads, the bodies they send, and which figures of each are told."""

import json
from dataclasses import dataclass
from typing import Any, Literal

Shape = Literal["chat", "paced", "messages", "translated", "translated-paced", "idle"]


REFERENCE = "gatewayz"
# Rows that exist for one trial, and take part in no other.
# Rows of nothing but the trials for workers, and all rows of those: a relay in one process and in four tells what it costs
# to divide a core, whatever runs there.
WORKER_ROWS = ("relay-4", "gatewayz-1", "gatewayz-4", "gatewayz-4-serving", "gatewayz-apart")
_WORKERS = ("relay-own", *WORKER_ROWS)
# One customer is one account in one database.
_TOGETHER = tuple(row for row in _WORKERS if row != "gatewayz-apart")


@dataclass(frozen=True, slots=True)
class Figure:
    """A column: the key of the figure, its title, digits after the point, and how it is told.

    `scale` divides the value. `added` tells what a row adds to the direct one in the same repetition; `compared` puts the
    ratio to the trial's reference beside it.
    """

    key: str
    title: str
    digits: int = 0
    scale: float = 1.0
    added: bool = False
    compared: bool = False


RPS = Figure("rps", "requests/s", compared=True)
STREAMS = Figure("rps", "streams/s", compared=True)
EVENTS = Figure("events_s", "events/s")
CPU_REQUEST = Figure("cpu_us_request", "CPU µs per request", compared=True)
CPU_COLD = Figure("cpu_us_request", "CPU µs per request")
CPU_EVENT = Figure("cpu_us_event", "CPU µs per event", 1, compared=True)
BUSY = Figure("busy", "core used", 2)
P50 = Figure("p50_us", "+ p50 ms", 2, 1000, added=True)
P99 = Figure("p99_us", "+ p99 ms", 2, 1000, added=True)
FIRST_P50 = Figure("first_p50_us", "+ first token p50 ms", 2, 1000, added=True)
FIRST_P99 = Figure("first_p99_us", "+ first token p99 ms", 2, 1000, added=True)
KB_STREAM = Figure("kb_stream", "memory KB per stream", 1)
P50_ALONE = Figure("alone_p50_us", "p50 ms alone", 2, 1000)
P50_BESIDE = Figure("p50_us", "p50 ms beside them", 2, 1000)
P50_TIMES = Figure("p50_times", "times", 2)


@dataclass(frozen=True, slots=True)
class Trial:
    """One load. `rate` is requests per second (None: every connection always busy); `longer` stretches its time.

    `rows`: it is for these only (empty: for all that are not kept for such trials). `beside`: so many idle streams are open
    meanwhile. `many`: the load is of many customers, where a row has them. `reference`: the row to which ratios are told.
    """

    name: str
    title: str
    shape: Shape
    figures: tuple[Figure, ...]
    stream: bool = False
    connections: int = 64
    rate: float | None = None
    prompt_bytes: int = 0
    warmup_s: float = 0.5
    longer: float = 1.0
    rows: tuple[str, ...] = ()
    beside: int = 0
    many: bool = False
    reference: str = REFERENCE


TRIALS = (
    Trial("plain", "Plain answers, 64 in flight", "chat", (RPS, CPU_REQUEST, BUSY)),
    Trial("latency", "Plain answers, 100 a second", "chat", (P50, P99, CPU_COLD), rate=100, longer=2),
    Trial("burst", "Streams of 68 events at once, 32 in flight", "chat", (STREAMS, EVENTS, CPU_EVENT, BUSY),
          stream=True, connections=32),
    Trial("paced", "Streams with an event every 10 ms, 300 open", "paced", (EVENTS, CPU_EVENT, BUSY),
          stream=True, connections=300, warmup_s=1.5),
    Trial("ttft", "Paced streams, 20 begun a second", "paced", (FIRST_P50, FIRST_P99),
          stream=True, rate=20, longer=2),
    Trial("anthropic", "Anthropic's Messages, 64 in flight", "messages", (RPS, CPU_REQUEST, BUSY)),
    Trial("translated", "OpenAI client, Anthropic upstream, 64 in flight", "translated", (RPS, CPU_REQUEST, BUSY)),
    Trial("translated-burst", "OpenAI client, Anthropic upstream, streams, 32 in flight", "translated",
          (STREAMS, EVENTS, CPU_EVENT, BUSY), stream=True, connections=32),
    Trial("translated-paced", "OpenAI client, Anthropic upstream, an event every 10 ms, 300 open", "translated-paced",
          (EVENTS, CPU_EVENT, BUSY), stream=True, connections=300, warmup_s=1.5),
    Trial("large", "Prompts of 100 KB, 16 in flight", "chat", (RPS, CPU_REQUEST, BUSY),
          connections=16, prompt_bytes=100_000),
    Trial("workers", "PostgreSQL and Redis, 64 customers, plain answers, 64 in flight", "chat",
          (RPS, CPU_REQUEST, BUSY), rows=_WORKERS, many=True, reference="gatewayz-1"),
    Trial("workers-one", "PostgreSQL and Redis, one customer, plain answers, 64 in flight", "chat",
          (RPS, CPU_REQUEST, BUSY), rows=_TOGETHER, reference="gatewayz-1"),
    Trial("workers-deep", "PostgreSQL and Redis, 64 customers, plain answers, 256 in flight", "chat",
          (RPS, CPU_REQUEST, BUSY), connections=256, rows=_WORKERS, many=True, reference="gatewayz-1"),
    Trial("idle", "5,000 idle streams, and plain answers, 100 a second", "chat",
          (KB_STREAM, P50_ALONE, P50_BESIDE, P50_TIMES), rate=100, longer=2, beside=5000),
)  # fmt: skip
QUICK_TRIALS = ("plain", "latency", "burst", "translated")


@dataclass(frozen=True, slots=True)
class Call:
    """How one row is asked for one shape: path, headers beyond the content type, and its name for the model."""

    path: str
    model: str
    headers: tuple[str, ...] = ()

    @property
    def anthropic(self) -> bool:
        """True if the client speaks Anthropic's Messages."""
        return self.path.endswith("/messages")


_SYSTEM = "You are a helpful assistant that answers briefly."
_QUESTION = (
    "Say in three sentences why a proxy keeps its connections open, and name one trap. Be short and concrete, use no words of"
    " advertising, and write for an engineer who has run a proxy before and wants to know what may go wrong at night."
)
_FILLER = "The river carried the barge past the mill, and nobody on deck could say whose turn it was to steer. "


def body(call: Call, *, stream: bool, prompt_bytes: int = 0) -> bytes:
    """The JSON to send: about 450 bytes, or a prompt of `prompt_bytes` before the question."""
    filler = (_FILLER * (prompt_bytes // len(_FILLER) + 1))[:prompt_bytes]
    question = {"role": "user", "content": filler + _QUESTION}
    members: dict[str, Any] = {"model": call.model, "max_tokens": 256, "temperature": 0.7}
    if call.anthropic:
        members |= {"system": _SYSTEM, "messages": [question]}
    else:
        members["messages"] = [{"role": "system", "content": _SYSTEM}, question]
    if stream:
        members["stream"] = True
        if not call.anthropic:
            members["stream_options"] = {"include_usage": True}
    return json.dumps(members, separators=(",", ":")).encode()


# The first word of every stream of the mock upstream; what comes before it (a role, an empty block) is no token.
FIRST_TOKEN = " quick"


def last_bytes(call: Call, *, stream: bool) -> str:
    """What a whole answer ends with."""
    if not stream:
        return "}"
    return "message_stop" if call.anthropic else "[DONE]"
