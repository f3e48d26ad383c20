"""Who holds this key? Answered from memory for keys seen lately, from one indexed look-up otherwise.

The order of checks is fixed: known hash, key active, not expired, account active. What is remembered is the row, not
the verdict, so that expiry is judged at each call. Changes of keys and accounts drop what is remembered at once.
"""

import asyncio
import hashlib
import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from math import inf
from typing import Any

import sqlalchemy as sa
import structlog

from gatewayz.accounts import store
from gatewayz.accounts.key_use import KeyUse
from gatewayz.core.caller import Caller
from gatewayz.core.errors import Forbidden, Unauthenticated, Unavailable
from gatewayz.core.ids import KEY_PATTERN, LONGEST_KEY
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import Clock
from gatewayz.infra.crypto import KeyRing
from gatewayz.infra.db import Database
from gatewayz.settings import Settings

log = structlog.get_logger(__name__)

# A client that hammers with a key that was deleted costs one query in this time, not one per call.
_UNKNOWN_S = 10.0
_UNKNOWN_ENTRIES = 1024
_RETRY_AFTER_S = 2
# A database that hangs is as good as away.
_LOOK_UP_S = 5.0
FAILURES = ("malformed", "unknown", "inactive", "expired", "account_suspended")


class Authenticator:
    """Answers `authenticate`; one per process.

    `failures` counts refusals by reason, `hits` and `misses` what memory could and could not answer, for metrics.
    """

    def __init__(self, database: Database, ring: KeyRing, clock: Clock, settings: Settings) -> None:
        self.failures: dict[str, int] = dict.fromkeys(FAILURES, 0)
        self.hits = 0
        self.misses = 0
        self._database = database
        self._ring = ring
        self._now_s = clock.monotonic_s
        self._now_us = clock.now_us
        self._entries = settings.auth_cache_entries
        self._life_s = settings.auth_cache_s
        # Keys in memory are told apart by a digest of their own, which takes a third of the time of the hash by which the
        # database finds them. Its secret is this process's alone.
        self._digester = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=32)
        # By digest: whose key it is, when that is asked again (monotonic seconds), and until when it is usable.
        self._known: OrderedDict[bytes, tuple[Caller, float, float]] = OrderedDict()
        self._digests_of_key: dict[int, set[bytes]] = {}
        self._unknown: dict[str, float] = {}
        self._loading: dict[str, asyncio.Task[Caller | None]] = {}
        # Raised by every change: an answer that was under way meanwhile may be stale and is not remembered.
        self._generation = 0
        self.uses = KeyUse(database)

    def listen(self, feed: ChangeFeed) -> None:
        """Hears of changed keys (subject: key id) and accounts (subject: user id)."""
        feed.on("key", self._key_changed)
        feed.on("user", self._user_changed)

    @property
    def size(self) -> int:
        """How many verified keys are kept in memory."""
        return len(self._known)

    def forget_all(self) -> None:
        """Empties the memory of keys; a look-up under way is not kept."""
        self._something_changed()
        self._known.clear()
        self._digests_of_key.clear()

    async def authenticate(self, api_key: str, client_ip: str = "") -> Caller:
        """The caller of a valid key; `client_ip` is noted as the place of use.

        Raises Unauthenticated (invalid_api_key, api_key_inactive, api_key_expired), Forbidden (account_suspended), and
        Unavailable accounts_unavailable if the key is not in memory and the database cannot be asked.
        """
        caller = self.at_once(api_key, client_ip)
        if caller is not None:
            return caller
        if KEY_PATTERN.fullmatch(api_key) is None:
            raise self._refused("malformed", "")
        caller = await self._miss(api_key)
        if caller is None:
            raise self._refused("unknown", f"{api_key[:-43]}…{api_key[-4:]}")
        return self._used(caller, _usable_until_us(caller), client_ip)

    def at_once(self, api_key: str, client_ip: str = "") -> Caller | None:
        """The same of a key in memory; None, and nothing noted or refused, for any other text.

        Raises as `authenticate` of a key that there is.
        """
        if len(api_key) > LONGEST_KEY:
            return None
        digest = self._digest(api_key)
        known = self._known.get(digest)
        if known is None or self._now_s() >= known[1]:
            return None
        self._known.move_to_end(digest)
        self.hits += 1
        return self._used(known[0], known[2], client_ip)

    def _used(self, caller: Caller, until_us: float, client_ip: str) -> Caller:
        """The caller, whose key is usable until then, after noting its use. Raises Unauthenticated, Forbidden."""
        now_us = self._now_us()
        if now_us >= until_us:
            raise self._unusable(caller, now_us)
        self.uses.note(caller.key_id, caller.user_id, now_us, client_ip)
        return caller

    async def knows(self, api_key: str) -> bool:
        """Whether there is such a key, before anything is done for its holder; nothing is noted or refused.

        Raises Unavailable as `authenticate`.
        """
        if KEY_PATTERN.fullmatch(api_key) is None:
            return False
        known = self._known.get(self._digest(api_key))
        if known is not None and self._now_s() < known[1]:
            return True
        return await self._miss(api_key) is not None

    async def flush_last_used(self) -> int:
        """Writes the uses noted since the last call; returns how many rows. Raises database errors, losing nothing."""
        return await self.uses.flush()

    def _unusable(self, caller: Caller, now_us: int) -> Unauthenticated | Forbidden:
        """The refusal of a key that is switched off, has expired, or belongs to an account that is suspended."""
        if not caller.key_active:
            return self._refused("inactive", caller.key_hint)
        if caller.expires_at_us is not None and caller.expires_at_us <= now_us:
            return self._refused("expired", caller.key_hint)
        return self._refused("account_suspended", caller.key_hint)

    def _digest(self, api_key: str) -> bytes:
        digester = self._digester.copy()
        digester.update(api_key.encode("utf-8", "surrogatepass"))
        return digester.digest()

    async def _miss(self, api_key: str) -> Caller | None:
        """The caller from the database; all who ask for the same key at the same time share one look-up."""
        key_hash = self._ring.lookup_hash(api_key)
        if self._unknown.get(key_hash, 0.0) > self._now_s():
            return None
        self.misses += 1
        task = self._loading.get(key_hash)
        if task is None:
            task = asyncio.create_task(self._load(key_hash, self._digest(api_key)))
            self._loading[key_hash] = task
        # Shielded: one client that hangs up must not fail the others who wait for the same answer.
        return await asyncio.shield(task)

    async def _load(self, key_hash: str, digest: bytes) -> Caller | None:
        generation = self._generation
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(_LOOK_UP_S), self._database.read() as connection:
                row = await store.identify(connection, key_hash)
                addresses = await store.enabled_addresses(connection, row["user_id"], row["id"]) if row else ()
        except (sa.exc.SQLAlchemyError, OSError) as error:
            log.warning("accounts_unreachable", error=type(error).__name__)
            raise Unavailable(
                "Accounts cannot be looked up at the moment; try again shortly.",
                code="accounts_unavailable",
                headers={"Retry-After": str(_RETRY_AFTER_S)},
            ) from error
        finally:
            if self._loading.get(key_hash) is task:
                del self._loading[key_hash]
        caller = _caller(row, key_hash, tuple(ip for _, ip in addresses)) if row else None
        if generation == self._generation:
            self._remember(key_hash, digest, caller)
        return caller

    def _remember(self, key_hash: str, digest: bytes, caller: Caller | None) -> None:
        now_s = self._now_s()
        if caller is None:
            if len(self._unknown) >= _UNKNOWN_ENTRIES:
                self._unknown.clear()
            self._unknown[key_hash] = now_s + _UNKNOWN_S
            return
        self._known[digest] = (caller, now_s + self._life_s, _usable_until_us(caller))
        self._known.move_to_end(digest)
        self._digests_of_key.setdefault(caller.key_id, set()).add(digest)
        while len(self._known) > self._entries:
            oldest, (gone, _, _) = self._known.popitem(last=False)
            digests = self._digests_of_key[gone.key_id]
            digests.discard(oldest)
            if not digests:
                del self._digests_of_key[gone.key_id]

    def _key_changed(self, subject: str) -> None:
        self._something_changed()
        if subject.isdecimal():
            self._forget(int(subject))

    def _user_changed(self, subject: str) -> None:
        self._something_changed()
        for key_id in {caller.key_id for caller, _, _ in self._known.values() if str(caller.user_id) == subject}:
            self._forget(key_id)

    def _forget(self, key_id: int) -> None:
        for digest in self._digests_of_key.pop(key_id, ()):
            self._known.pop(digest, None)

    def _something_changed(self) -> None:
        self._generation += 1
        self._unknown.clear()
        # Whoever asks from now on must not share a look-up that began before the change.
        self._loading.clear()

    def _refused(self, reason: str, hint: str) -> Unauthenticated | Forbidden:
        """Counts and logs a refusal; `hint` is prefix and last 4 of a well-formed key, nothing of a malformed one."""
        self.failures[reason] += 1
        log.info("api_key_refused", reason=reason, key=hint)
        if reason == "inactive":
            return Unauthenticated("This API key is switched off.", code="api_key_inactive")
        if reason == "expired":
            return Unauthenticated("This API key has expired; create or rotate a key.", code="api_key_expired")
        if reason == "account_suspended":
            return Forbidden("This account is suspended; contact support.", code="account_suspended")
        return Unauthenticated("This API key is not valid.", code="invalid_api_key")


def _usable_until_us(caller: Caller) -> float:
    """Microseconds since the epoch until which the key opens anything; 0 if it does not now, infinity if for good."""
    if not (caller.key_active and caller.account_active):
        return 0
    return inf if caller.expires_at_us is None else caller.expires_at_us


def _caller(row: Mapping[Any, Any], key_hash: str, addresses: tuple[str, ...]) -> Caller | None:
    """The caller of a row of `store.identify`; None for a deleted account: its keys are unknown."""
    if row["status"] == "deleted":
        return None
    expires_at_us = row["expires_at_us"]
    if row["key_hash"] != key_hash:
        grace_us = row["previous_expires_at_us"]
        expires_at_us = grace_us if expires_at_us is None else min(expires_at_us, grace_us)
    return Caller(
        user_id=row["user_id"],
        key_id=row["id"],
        role=row["role"],
        tier=row["tier"],
        scopes=frozenset(json.loads(row["scopes"])),
        key_name=row["key_name"],
        key_hint=f"{row['prefix']}…{row['last4']}",
        environment=row["environment_tag"],
        key_active=row["is_active"],
        account_active=row["status"] == "active",
        expires_at_us=expires_at_us,
        trial_ends_at_us=row["trial_ends_at_us"],
        ip_allowlist=(*json.loads(row["ip_allowlist"]), *addresses),
        domain_referrers=tuple(json.loads(row["domain_referrers"])),
        model_allowlist=tuple(json.loads(row["model_allowlist"])),
        rpm_limit=row["rpm_limit"],
        daily_cap_nano_usd=row["daily_cap_nano_usd"],
        max_requests=row["max_requests"],
    )
