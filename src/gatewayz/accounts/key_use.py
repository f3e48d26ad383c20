"""When was a key last used, how often in each hour, and from where: noted in memory, written in bulk."""

from gatewayz.accounts import store
from gatewayz.infra.clock import US_PER_S
from gatewayz.infra.db import Database

_US_PER_HOUR = 3600 * US_PER_S
_BATCH = 500


class KeyUse:
    """Notes uses at the price of a dictionary entry; `flush` writes them. Up to one interval is lost when killed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # (key id, hour) -> [user id, uses, last use in microseconds, address of the last use]
        self._noted: dict[tuple[int, int], tuple[int, int, int, str]] = {}

    def note(self, key_id: int, user_id: int, now_us: int, ip: str) -> None:
        """One use, now."""
        place = (key_id, now_us // _US_PER_HOUR)
        noted = self._noted.get(place)
        self._noted[place] = (user_id, noted[1] + 1 if noted else 1, now_us, ip)

    async def flush(self) -> int:
        """Writes what was noted; returns the number of rows. On a database error everything unwritten is kept, and the
        error raised."""
        taken, self._noted = self._noted, {}
        # All processes write in the same order, so that none waits for another in a circle.
        rows = sorted(taken.items())
        written = 0
        try:
            while written < len(rows):
                batch = rows[written : written + _BATCH]
                async with self._database.begin() as connection:
                    await store.note_uses(
                        connection,
                        [
                            {
                                "key_id": key_id,
                                "hour": hour,
                                "user_id": user_id,
                                "uses": uses,
                                "last_used_at_us": last_us,
                                "ip": ip,
                            }
                            for (key_id, hour), (user_id, uses, last_us, ip) in batch
                        ],
                    )
                written += len(batch)
        finally:
            for place, (user_id, uses, last_us, ip) in rows[written:]:
                newer = self._noted.get(place)
                self._noted[place] = (user_id, uses + newer[1], *newer[2:]) if newer else (user_id, uses, last_us, ip)
        return written
