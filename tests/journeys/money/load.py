"""Mixed load, and a faithful note of what each client was told."""

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import aiohttp

from tests.journeys.money.aside import Aside
from tests.journeys.money.scene import BROKEN, CLAUDE, MAX_TOKENS, MODELS, QUICK, SLOW
from tests.live import Customer

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
_TERMINATORS = {"openai": b"data: [DONE]\n\n", "anthropic": b'data: {"type":"message_stop"}\n\n'}
_MOST_TRIES = 4
# One client in so many hangs up in the middle of its stream, or asks again for what it has already.
_LEAVES = 12
_FORGETS = 12


@dataclass(frozen=True)
class Ask:
    """One request to be sent; `leave_after` is the number of bytes after which the client hangs up."""

    customer: Customer = field(repr=False)
    model: str
    stream: bool
    own_id: str | None = None
    leave_after: int | None = None
    tries: int = 1


@dataclass
class Told:
    """What became of one request, as its client knows. `cost_nano` is what the answer itself says that it cost."""

    ask: Ask
    request_id: str | None = None
    status: int | None = None
    code: str | None = None
    retry_after: str | None = None
    received: int = 0
    complete: bool = False
    replay: bool = False
    left: bool = False
    cost_nano: int | None = None
    began_s: float = 0.0
    ended_s: float = 0.0

    @property
    def cut(self) -> bool:
        """The answer broke off without a word, or there was none."""
        return not self.complete and not self.left and self.code is None

    @property
    def refused(self) -> bool:
        """The gateway said that it failed, by status or by an error event."""
        return self.code is not None


async def tell(session: aiohttp.ClientSession, ask: Ask) -> Told:
    """Sends one request and notes what comes back. Never raises for what the network does."""
    told = Told(ask, ask.own_id, began_s=time.monotonic())
    headers = {"Authorization": f"Bearer {ask.customer.key}"}
    if ask.own_id is not None:
        headers["X-Request-ID"] = ask.own_id
    dialect = MODELS[ask.model]
    body: dict[str, Any] = {"model": ask.model, "max_tokens": MAX_TOKENS, "stream": ask.stream}
    body["messages"] = [{"role": "user", "content": "Hello!"}]
    if ask.stream and dialect == "openai":
        body["stream_options"] = {"include_usage": True}
    url = ask.customer.gateway.base_url + PATHS[dialect]
    try:
        async with session.post(url, json=body, headers=headers) as answer:
            told.status = answer.status
            told.request_id = answer.headers.get("X-Request-ID", told.request_id)
            told.retry_after = answer.headers.get("Retry-After")
            told.replay = "X-Idempotent-Replay" in answer.headers
            data = await _read(answer, told)
            _understand(told, data, dialect)
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass
    told.ended_s = time.monotonic()
    return told


async def _read(answer: aiohttp.ClientResponse, told: Told) -> bytes:
    data = b""
    async for chunk in answer.content.iter_any():
        data += chunk
        told.received = len(data)
        if told.ask.leave_after is not None and answer.status == 200 and len(data) >= told.ask.leave_after:
            told.left = True
            answer.close()
            break
    return data


def _understand(told: Told, data: bytes, dialect: str) -> None:
    if told.status != 200:
        told.code = json.loads(data)["error"].get("code") or "error"
    elif not told.ask.stream:
        told.complete = True
        told.cost_nano = _cost(json.loads(data, parse_float=Decimal))
    else:
        events = [
            json.loads(line[6:], parse_float=Decimal)
            for line in data[: data.rfind(b"\n\n") + 1].split(b"\n")
            if line.startswith(b"data: ") and line != b"data: [DONE]"
        ]
        errors = [event["error"] for event in events if event.get("error")]
        told.code = (errors[0].get("code") or "error") if errors else None
        told.complete = not errors and not told.left and data.endswith(_TERMINATORS[dialect])
        told.cost_nano = next(filter(None, map(_cost, reversed(events))), None)


def _cost(value: dict[str, Any]) -> int | None:
    cost = (value.get("usage") or {}).get("cost")
    return None if cost is None else int(cost * 1_000_000_000)


Mix = Callable[[random.Random, Sequence[Customer]], Ask]


def everything(dice: random.Random, customers: Sequence[Customer]) -> Ask:
    """Plain and streamed answers of every model, own request ids or none, clients that leave, providers that break."""
    model = dice.choices((QUICK, SLOW, CLAUDE, BROKEN), (4, 4, 4, 1))[0]
    ask = Ask(dice.choice(customers), model, stream=dice.random() < 0.6)
    if ask.stream and dice.randrange(_LEAVES) == 0:
        return replace(ask, leave_after=dice.randrange(1, 2500))
    if dice.random() < 0.5:
        return replace(ask, own_id=f"own-{dice.getrandbits(60):x}")
    return ask


def only_good(dice: random.Random, customers: Sequence[Customer]) -> Ask:
    """What must always succeed."""
    return Ask(dice.choice(customers), dice.choice((QUICK, SLOW, CLAUDE)), stream=dice.random() < 0.6)


class Load(Aside):
    """Clients that ask without pause; a request with an own id that is cut off is sent again, others sometimes are.

    `told` grows while they run, `answered` is how many answers were received in full.
    """

    def __init__(
        self,
        customers: Sequence[Customer] = (),
        *,
        clients: int = 16,
        mix: Mix = everything,
        seed: int = 0,
        keep_alive: bool = True,
    ) -> None:
        """Without `keep_alive` every request may reach another process. Without customers only `ask` sends anything."""
        super().__init__()
        self.told: list[Told] = []
        self.answered = 0
        self._customers = customers
        self._clients = clients if customers else 0
        self._keep_alive = keep_alive
        self._mix = mix
        self._dice = random.Random(seed)
        self._again: deque[Ask] = deque()
        self._running = True
        self._tasks: list[asyncio.Task[None]] = []
        self._beside: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=not self._keep_alive),
            timeout=aiohttp.ClientTimeout(total=60),
        )
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]

    async def finish(self) -> None:
        """Lets the running requests end and starts no more."""
        self._running = False
        await asyncio.gather(*self._tasks, *self._beside)
        await self._session.close()

    def pause_until_idle(self) -> None:
        """Starts no new requests and waits for the running ones."""
        self._running = False
        self.run(self._idle())

    def resume(self) -> None:
        """Goes on after a pause."""
        self._running = True
        self.run(self._begin_clients())

    def wait_until(self, reached: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Returns when `reached` says so. Fails when that takes too long."""
        until = time.monotonic() + timeout_s
        while not reached():
            assert time.monotonic() < until, f"waited in vain: {self.told[-5:]}"
            time.sleep(0.005)

    def wait_for(self, answers: int) -> None:
        """Returns when so many more answers have been received in full."""
        wanted = self.answered + answers
        self.wait_until(lambda: self.answered >= wanted)

    def ask(self, asks: Sequence[Ask]) -> list[Told]:
        """These requests, all at once, beside the load; they are noted in `told` too."""
        return self.run(self._all(asks))

    def ask_beside(self, asks: Sequence[Ask]) -> list[Told]:
        """Begins these requests and returns at once; the list fills as they end."""
        told: list[Told] = []

        async def one(ask: Ask) -> None:
            told.append(await self._tell(ask))

        async def begin() -> None:
            self._beside |= {asyncio.create_task(one(ask)) for ask in asks}

        self.run(begin())
        return told

    def wait_beside(self) -> None:
        """Waits for all that was begun beside."""
        self.run(self._beside_done())

    async def _beside_done(self) -> None:
        await asyncio.gather(*self._beside)
        self._beside.clear()

    async def _all(self, asks: Sequence[Ask]) -> list[Told]:
        return await asyncio.gather(*(self._tell(ask) for ask in asks))

    async def _tell(self, ask: Ask) -> Told:
        told = await tell(self._session, ask)
        self.told.append(told)
        self.answered += told.complete
        return told

    async def _begin_clients(self) -> None:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]

    async def _idle(self) -> None:
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        while self._running:
            ask = self._again.popleft() if self._again else self._mix(self._dice, self._customers)
            told = await self._tell(ask)
            forgets = told.complete and self._dice.randrange(_FORGETS) == 0
            if ask.own_id is not None and ask.tries < _MOST_TRIES and (told.cut or forgets):
                self._again.append(replace(ask, tries=ask.tries + 1))
            if told.status is None or told.status >= 500:
                await asyncio.sleep(0.02)
