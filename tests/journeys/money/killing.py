"""Twenty lives of one server on one database, each ended by SIGKILL at a random moment of mixed load."""

import random
import time
from pathlib import Path

from tests.journeys.money.judge import judge, read_books, sums_agree
from tests.journeys.money.load import Load
from tests.journeys.money.scene import SOAK, Stage, stage

KILLS = 20
CHAPTERS = 10 if SOAK else 1


def survive_twenty_kills(home: Path, database_url: str | None, seed: int) -> None:
    """Kills and starts, again and again; then everything that any client was told is held against the books."""
    with stage(home, database_url) as scene, Load(scene.customers(), seed=seed) as load:
        for chapter in range(CHAPTERS):
            if chapter:
                load.resume()
            _kill_again_and_again(scene, load, random.Random(seed + chapter))
            load.wait_for(20)
            load.pause_until_idle()
            judge(scene, load.told)
            scene.set_scripts()
        outcomes = {(told.ask.stream, told.complete) for told in load.told if told.status == 200}
        assert outcomes >= {(True, True), (False, True), (True, False)}, "the load was not mixed"
        assert sum(told.cut for told in load.told) > KILLS, "the kills hit nothing"
        assert any(told.replay for told in load.told), "no answer was asked for again"


def _kill_again_and_again(scene: Stage, load: Load, dice: random.Random) -> None:
    for life in range(KILLS):
        load.wait_for(5)
        time.sleep(dice.uniform(0, 0.4))
        scene.gateway.kill()
        if life % 4 == 0:
            # The sums hold at every moment, also while nobody is there to repair them.
            sums_agree(read_books(scene.database_url))
        scene.gateway.start()
