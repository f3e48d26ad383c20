"""What must be true while money cannot be written, whatever the reason."""

import time
from collections.abc import Sequence

from tests.journeys.money.load import Ask, Load, Told
from tests.journeys.money.scene import CLAUDE, QUICK, SCRIPTS, SLOW, Stage
from tests.live import Customer

# A stream that begins before the outage and ends in it.
LONG_S = 3.0
# Longer than any outage here: what was held before it must still be held after it.
HOLD_EXPIRY_S = 60


def begin_long_streams(scene: Stage, load: Load, customers: Sequence[Customer]) -> list[Told]:
    """Streams of every account, begun and relayed when this returns; they are noted in the load when they end.

    The load is paused for it, so that the streams get the script that is meant for them.
    """
    before = len(scene.upstream.journal("slow"))
    text = SCRIPTS[SLOW]["text"]
    slowly = {**SCRIPTS[SLOW], "chunk_delay_s": LONG_S / len(text)}
    load.pause_until_idle()
    scene.upstream.script("slow", *[slowly] * (2 * len(customers)))
    asks = [Ask(customer, SLOW, stream=True, own_id=None) for customer in customers for _ in range(2)]
    told = load.ask_beside(asks)
    until = time.monotonic() + 5
    while len(scene.upstream.journal("slow")) < before + len(asks):
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.3)
    return told


def refused_without_a_call(scene: Stage, load: Load, customers: Sequence[Customer]) -> None:
    """New requests get 503 with Retry-After, and no provider hears of them."""
    calls = len(scene.upstream.journal())
    asks = [
        Ask(customer, model, stream, own_id)
        for number, customer in enumerate(customers)
        for model in (QUICK, CLAUDE)
        for stream in (False, True)
        for own_id in (None, f"outage-{time.monotonic_ns()}-{number}-{model[5:]}-{stream}")
    ]
    for told in load.ask(asks):
        assert (told.status, told.code) in ((503, "billing_unavailable"), (503, "accounts_unavailable")), told
        assert told.retry_after is not None and int(told.retry_after) > 0
    assert len(scene.upstream.journal()) == calls
