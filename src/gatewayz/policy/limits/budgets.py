"""Requests per fixed window, shared by all processes: each takes slices of a budget from Redis and spends them alone.

While Redis is away a process goes on with what it knows of the window; when Redis is back it says what it has used (see
`take.lua`: every call states the whole claim of this process) and sharing resumes. A refused request is not counted.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.infra.redis import Arg, LinkState, RedisAway, RedisLink, Script
from gatewayz.policy.limits.state import LimitState, Mode, refusal, state_of, terms_of, whole_seconds

TAKE = Script(Path(__file__).with_name("take.lua").read_text("utf-8"))
MAX_SUBJECTS = 200_000
# After a refusal by the shared counter this long passes before it is asked again: a flood of refused requests must not
# become a flood of trips. Slices given back by idle processes appear at about this pace.
ASK_AGAIN_US = 500_000
_REPORTS_PER_TRIP = 200
_NOT_YET = terms_of(-1, 0, "", "normal")


class Budget:
    """One subject's window in this process.

    `used` requests were admitted here, `left` may be admitted without asking, `others` is what all other processes held
    when last heard, `total` the shared counter then (alone: the limit). `forgotten` is what this process had recorded
    in Redis before this object was made. `terms` are those of `limit`, once a request was admitted by it.
    """

    __slots__ = (
        "alone",
        "ask_again_us",
        "epoch",
        "forgotten",
        "fresh",
        "left",
        "limit",
        "others",
        "subject",
        "terms",
        "total",
        "used",
        "used_before",
        "window",
    )

    def __init__(self, subject: int | str, window: int) -> None:
        self.subject = subject
        self.window = window
        self.forgotten = 0
        self.limit = -1
        self.epoch = -1
        self.used = 0
        self.left = 0
        self.others = 0
        self.total = 0
        self.alone = False
        self.fresh = True
        self.ask_again_us = 0
        self.used_before = 0
        self.terms = _NOT_YET


class _Trip:
    """Questions that go to Redis together; `needs` counts the requests waiting per budget."""

    __slots__ = ("answered", "done", "needs")

    def __init__(self) -> None:
        self.needs: dict[Budget, int] = {}
        self.done = asyncio.Event()
        self.answered = False


class Budgets:
    """All budgets of one kind, e.g. requests per minute by key.

    `name` begins the Redis key `{name}:{subject}:{window number}`, `reason` and `what` speak to the refused caller
    (`what` is called with the limit), `slice_of(limit)` says how many requests are taken from Redis at a time.
    """

    def __init__(
        self,
        *,
        name: str,
        window_s: int,
        reason: str,
        what: Callable[[int], str],
        slice_of: Callable[[int], int],
        clock: Clock,
        link: RedisLink,
        process: str,
        max_subjects: int = MAX_SUBJECTS,
    ) -> None:
        self._name = name
        self._window_s = window_s
        self._window_us = window_s * US_PER_S
        self._reason = reason
        self._what = what
        self._slice_of = slice_of
        self._clock = clock
        self._now_us = clock.now_us
        self._link = link
        self._process = process
        self._max_subjects = max_subjects
        self._window = -1
        self._reset_at_s = 0
        self._epoch = 0
        self._budgets: dict[int | str, Budget] = {}
        self._holding: set[Budget] = set()
        self._trip = _Trip()
        self._backlog: deque[Budget] = deque()
        self._sender: asyncio.Task[None] | None = None
        link.on_state(self._on_link)

    async def admit(self, subject: int | str, limit: int, mode: Mode) -> LimitState:
        """Counts one request of the subject. Raises RateLimited if `limit` is used up in this window."""
        while (state := self.at_once(subject, limit, mode)) is None:
            await self._refill(subject, limit, mode)
        return state

    def at_once(self, subject: int | str, limit: int, mode: Mode) -> LimitState | None:
        """The same without asking Redis; None, and nothing counted, where it must be asked or refuses."""
        window = self._now_us() // self._window_us
        if window != self._window:
            self._turn(window)
        budget = self._budgets.get(subject)
        if budget is None or budget.left <= 0 or budget.epoch != self._epoch:
            return None
        terms = budget.terms
        if terms.limit != limit or terms.mode != mode:
            return None
        budget.left = left = budget.left - 1
        budget.used += 1
        remaining = limit - budget.total + left
        return LimitState(terms, remaining if remaining > 0 else 0)

    async def peek(self, subject: int | str, limit: int, mode: Mode) -> LimitState:
        """Where the subject stands, over all processes, without counting anything."""
        budget = self._current(subject, limit)
        if not budget.alone:
            await self._ask(budget, 0)
        remaining = max(0, limit - budget.total + budget.left)
        wait_s = 0 if remaining else whole_seconds(self._ends_us() - self._clock.now_us())
        return state_of(limit, remaining, self._reset_at_s, self._reason, mode, wait_s)

    def give_back_idle(self) -> None:
        """Returns the slices that were not touched since the last call, so that other processes can use them."""
        for budget in list(self._holding):
            if budget.left <= 0 or budget.alone:
                self._holding.discard(budget)
            elif budget.used == budget.used_before:
                self._holding.discard(budget)
                budget.left = 0
                self._report(budget)
            else:
                budget.used_before = budget.used

    async def give_back_all(self) -> None:
        """Returns every slice in hand, as a process does that ends."""
        for budget in list(self._holding):
            budget.left = 0
            self._report(budget)
        self._holding.clear()
        await self.flush()

    async def flush(self) -> None:
        """Returns when Redis knows what this process used, or is known to be away."""
        while self._sender is not None and not self._sender.done():
            await asyncio.shield(self._sender)

    def __len__(self) -> int:
        return len(self._budgets)

    async def _refill(self, subject: int | str, limit: int, mode: Mode) -> None:
        """Returns when the subject's budget has at least one request left. Raises RateLimited."""
        while True:
            budget = self._current(subject, limit)
            if budget.left > 0:
                budget.terms = terms_of(limit, self._reset_at_s, self._reason, mode)
                return
            now_us = self._clock.now_us()
            if budget.alone or now_us < budget.ask_again_us:
                wait_s = whole_seconds(self._ends_us() - now_us)
                state = state_of(limit, 0, self._reset_at_s, self._reason, mode, wait_s)
                raise refusal(state, self._what(limit))
            await self._ask(budget, 1)

    def _current(self, subject: int | str, limit: int) -> Budget:
        """The subject's budget of the current window, measured by this limit and the current state of the link."""
        window = self._clock.now_us() // self._window_us
        if window != self._window:
            self._turn(window)
        budget = self._budgets.get(subject)
        if budget is None:
            if len(self._budgets) >= self._max_subjects:
                del self._budgets[next(iter(self._budgets))]
            budget = self._budgets[subject] = Budget(subject, self._window)
        if budget.limit != limit or budget.epoch != self._epoch:
            budget.limit, budget.epoch = limit, self._epoch
            budget.ask_again_us = 0
            budget.terms = _NOT_YET
            if self._link.state == "up":
                # What is in hand was given under other circumstances: the next call claims only what was used.
                budget.alone, budget.left, budget.total = False, 0, limit
            else:
                self._go_alone(budget)
        return budget

    def _go_alone(self, budget: Budget) -> None:
        budget.alone = True
        budget.left = max(0, budget.limit - budget.others - budget.used)
        budget.total = budget.limit

    def _turn(self, window: int) -> None:
        if window == self._window - 1:
            return  # the wall clock was set back a little: the window that has begun goes on
        self._window = window
        self._reset_at_s = (window + 1) * self._window_s
        self._budgets = {}
        self._holding = set()

    def _ends_us(self) -> int:
        return self._reset_at_s * US_PER_S

    def _on_link(self, state: LinkState) -> None:
        self._epoch += 1
        window = self._clock.now_us() // self._window_us
        if window != self._window:
            self._turn(window)
        if state == "up":
            for budget in self._budgets.values():
                if budget.used:
                    self._report(budget)

    async def _ask(self, budget: Budget, need: int) -> None:
        """Waits for one trip to Redis that asks `need` for this budget; then it holds more, or knows why not."""
        trip = self._trip
        trip.needs[budget] = trip.needs.get(budget, 0) + need
        self._wake_sender()
        await trip.done.wait()
        if not trip.answered:
            self._go_alone(budget)

    def _report(self, budget: Budget) -> None:
        """Tells Redis in the background what this process really used; requests that wait go first."""
        self._backlog.append(budget)
        self._wake_sender()

    def _wake_sender(self) -> None:
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send_all())

    async def _send_all(self) -> None:
        """Sends what has gathered while the last trip was under way, until nothing is left."""
        while self._trip.needs or self._backlog:
            if self._trip.needs:
                trip, self._trip = self._trip, _Trip()
                try:
                    await self._send(list(trip.needs.items()))
                    trip.answered = True
                finally:
                    trip.done.set()
            else:
                batch = [self._backlog.popleft() for _ in range(min(len(self._backlog), _REPORTS_PER_TRIP))]
                current = [self._current(old.subject, old.limit) for old in batch if old.window == self._window]
                await self._send([(budget, 0) for budget in current])

    async def _send(self, asked: list[tuple[Budget, int]]) -> None:
        """One trip. A budget whose question was not answered goes on alone until the link changes."""
        sent = [(budget, budget.limit, budget.epoch, _claim(budget), need) for budget, need in asked]
        keys: list[str] = []
        args: list[Arg] = [self._process, 2 * self._window_s]
        for budget, limit, _, claim, need in sent:
            counter = f"{self._name}:{budget.subject}:{budget.window}"
            keys += (counter, counter + ":by")
            args += (limit, claim, int(budget.fresh), need, max(need, self._slice_of(limit)) if need else 0)
            budget.fresh = False
        try:
            answers = await self._link.run_script(TAKE, keys, args) if keys else []
        except RedisAway:
            for budget, _ in asked:
                self._go_alone(budget)
            return
        again_us = self._clock.now_us() + ASK_AGAIN_US
        for index, (budget, limit, epoch, claim, need) in enumerate(sent):
            given, total, claimed = answers[3 * index : 3 * index + 3]
            budget.forgotten += claimed - claim
            if (budget.limit, budget.epoch) != (limit, epoch):
                continue  # given under other circumstances; the next call claims only what was used
            budget.left += given
            budget.total = total
            budget.others = max(0, total - given - claimed) + budget.forgotten
            budget.ask_again_us = again_us if given < need else 0
            if budget.left > need:
                budget.used_before = budget.used
                self._holding.add(budget)


def _claim(budget: Budget) -> int:
    return budget.forgotten + budget.used + budget.left
