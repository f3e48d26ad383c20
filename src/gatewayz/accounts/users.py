"""Accounts: created once per person, found, given a role, suspended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import audit, store
from gatewayz.accounts.audit import Entry, Origin
from gatewayz.accounts.emails import Email
from gatewayz.core.caller import Role, Tier
from gatewayz.core.errors import Conflict, NotFound
from gatewayz.infra.changes import announce

Status = Literal["active", "suspended", "deleted"]


@dataclass(frozen=True, slots=True)
class User:
    """An account; times in microseconds since the epoch (`trial_ends_at_us` None: no trial)."""

    id: int
    username: str
    email: str
    auth_method: str
    environment: str
    role: Role
    tier: Tier
    status: Status
    trial_ends_at_us: int | None
    created_at_us: int


@dataclass(frozen=True, slots=True)
class Search:
    """Which accounts to list; None does not filter. `key` is the prefix or the last 4 of one of their keys."""

    search: str | None = None
    email: str | None = None
    role: str | None = None
    tier: str | None = None
    status: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts over all accounts that match a search."""

    total: int
    by_role: Mapping[str, int]
    by_tier: Mapping[str, int]
    by_status: Mapping[str, int]


async def create(
    connection: AsyncConnection,
    *,
    username: str,
    email: Email,
    auth_method: str,
    environment: str,
    origin: Origin,
    now_us: int,
) -> User:
    """The new account: role user, tier free, active. Raises Conflict email_taken if that person has one already."""
    row = await store.insert_user(
        connection,
        {
            "username": username,
            "email": email.text,
            "email_normalised": email.normalised,
            "auth_method": auth_method,
            "environment": environment,
            "created_at_us": now_us,
        },
    )
    if row is None:
        raise Conflict("An account with this e-mail address exists already.", code="email_taken", param="email")
    user = of_row(row)
    after = {"username": username, "email": email.text, "auth_method": auth_method, "role": user.role}
    await audit.append(
        connection,
        "audit",
        Entry(now_us, "user.created", f"user:{user.id}", origin, owner_user_id=user.id, after=after),
    )
    return user


async def get(connection: AsyncConnection, user_id: int) -> User:
    """The account. Raises NotFound."""
    row = await store.find_user(connection, user_id)
    if row is None:
        raise NotFound(f"There is no account {user_id}.", code="user_not_found", param="user_id")
    return of_row(row)


async def find_by_email(connection: AsyncConnection, email: Email) -> User | None:
    """The account of the person with this address, by its normalised form; None if there is none."""
    row = await store.find_user_by_email(connection, email.normalised)
    return None if row is None else of_row(row)


async def page(
    connection: AsyncConnection, search: Search, limit: int, offset: int
) -> tuple[Sequence[User], Statistics]:
    """Accounts newest first, and the statistics of all that match (`statistics.total` is the true total)."""
    conditions = store.user_conditions(
        search=search.search,
        email=search.email,
        role=search.role,
        tier=search.tier,
        status=search.status,
        key=search.key,
    )
    counts: list[dict[str, int]] = [{}, {}, {}]
    total = 0
    for *kinds, number in await store.count_users(connection, conditions):
        total += number
        for count, kind in zip(counts, kinds, strict=True):
            count[kind] = count.get(kind, 0) + number
    rows = await store.page_of_users(connection, conditions, limit, offset)
    return [of_row(row) for row in rows], Statistics(total, *counts)


async def update_role(
    connection: AsyncConnection, user_id: int, new_role: Role, reason: str, origin: Origin, now_us: int
) -> tuple[User, User]:
    """The account before and after; audited as `role.updated`, heard by all processes as a change of the user.

    Raises NotFound, and Conflict last_admin if nobody would be left to administer.
    """
    before = await _locked(connection, user_id, keeps_admin=new_role == "admin")
    after = of_row(await store.update_user(connection, user_id, {"role": new_role}))
    await announce(connection, "user", str(user_id), now_us)
    await audit.append(
        connection,
        "audit",
        Entry(
            now_us,
            "role.updated",
            f"user:{user_id}",
            origin,
            owner_user_id=user_id,
            before={"role": before.role},
            after={"role": after.role},
            reason=reason,
            severity="high",
        ),
    )
    return before, after


async def update_status(
    connection: AsyncConnection,
    user_id: int,
    status: Literal["active", "suspended"],
    reason: str,
    origin: Origin,
    now_us: int,
) -> User:
    """The account after the change; a suspended one is refused from the next request on.

    Raises NotFound (also for deleted accounts), and Conflict last_admin as `update_role`.
    """
    before = await _locked(connection, user_id, keeps_admin=status == "active")
    after = of_row(await store.update_user(connection, user_id, {"status": status}))
    await announce(connection, "user", str(user_id), now_us)
    await audit.append(
        connection,
        "audit",
        Entry(
            now_us,
            "user.status_changed",
            f"user:{user_id}",
            origin,
            owner_user_id=user_id,
            before={"status": before.status},
            after={"status": after.status},
            reason=reason,
            severity="high",
        ),
    )
    return after


async def set_trial_end(connection: AsyncConnection, user_id: int, ends_at_us: int | None, now_us: int) -> None:
    """Stores when the account's trial ends (None: no trial), as decided by billing."""
    await store.update_user(connection, user_id, {"trial_ends_at_us": ends_at_us})
    await announce(connection, "user", str(user_id), now_us)


async def _locked(connection: AsyncConnection, user_id: int, *, keeps_admin: bool) -> User:
    """The account, locked; administrators are locked first and together, so that the last two cannot both go."""
    admins = set() if keeps_admin else await store.lock_active_admins(connection)
    row = await store.find_user(connection, user_id, lock=True)
    if row is None or row["status"] == "deleted":
        raise NotFound(f"There is no account {user_id}.", code="user_not_found", param="user_id")
    if admins == {user_id}:
        raise Conflict(
            "This is the last active administrator; give the role to somebody else first.", code="last_admin"
        )
    return of_row(row)


def of_row(row: Mapping[Any, Any]) -> User:
    """The account of a row of `users`."""
    return User(
        id=row["id"],
        username=row["username"],
        email=row["email"],
        auth_method=row["auth_method"],
        environment=row["environment"],
        role=row["role"],
        tier=row["tier"],
        status=row["status"],
        trial_ends_at_us=row["trial_ends_at_us"],
        created_at_us=row["created_at_us"],
    )
