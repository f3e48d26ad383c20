"""Opening accounts with the deployment's settings: the one code path that grants a trial."""

from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.billing.grants import OpenedAccount, open_account
from gatewayz.settings import Settings


class Bank:
    """What the rest of the house asks of billing when an account is made."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def open_account(
        self, connection: AsyncConnection, user_id: int, now_us: int, *, trial: bool
    ) -> OpenedAccount:
        """Makes the balance of a new account in the caller's transaction; may be called again."""
        return await open_account(connection, self._settings, user_id, now_us, trial=trial)
