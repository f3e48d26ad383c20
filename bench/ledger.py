"""Is every answer charged, once, at its price? What is wrong with the books after a run; nothing if all is well."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import asyncpg

# Prices of the benchmark's models, in nano-USD per token: 0.15 and 0.60 USD per million.
PROMPT_NANO_USD, COMPLETION_NANO_USD = 150, 600

# Each gives one number. In words: answers charged; those of them that were cut short; charges that are not tokens times
# price; accounts whose ledger does not add up to their balance; promises that were never given back; answers
# whose record has no charge of the same amount.
_QUESTIONS = {
    "charged": "SELECT COUNT(*) FROM credit_transactions WHERE type = 'api_usage'",
    "partial": "SELECT COUNT(*) FROM activity_log WHERE status = 499 AND cost_nano_usd > 0",
    "mispriced": f"""SELECT COUNT(*) FROM credit_transactions WHERE type = 'api_usage' AND amount_nano_usd
        <> -({PROMPT_NANO_USD} * prompt_tokens + {COMPLETION_NANO_USD} * completion_tokens)""",
    "unbalanced": """SELECT COUNT(*) FROM balances b WHERE b.trial_nano_usd + b.allowance_nano_usd + b.purchased_nano_usd
        <> COALESCE((SELECT SUM(t.amount_nano_usd) FROM credit_transactions t WHERE t.user_id = b.user_id), 0)""",
    "promised": """SELECT (SELECT COUNT(*) FROM holds) + (SELECT COUNT(*) FROM leases)
        + (SELECT COUNT(*) FROM balances WHERE reserved_nano_usd <> 0)""",
    "uncharged": """SELECT COUNT(*) FROM activity_log a WHERE a.status = 200 AND NOT EXISTS
        (SELECT 1 FROM credit_transactions t WHERE t.request_id = CAST(a.user_id AS TEXT) || ':' || a.request_id
        AND t.type = 'api_usage' AND t.amount_nano_usd = -a.cost_nano_usd)""",
}


def audit_sqlite(path: Path, served: int, abandoned: int) -> list[str]:
    """What is wrong with the books in this file after `served` whole answers and `abandoned` ones."""
    with closing(sqlite3.connect(path)) as database:
        counts = [database.execute(question).fetchone()[0] for question in _QUESTIONS.values()]
    return complaints(counts, served, abandoned)


def audit_postgres(dsn: str, served: int, abandoned: int) -> list[str]:
    """The same for a PostgreSQL database."""

    async def ask() -> list[int]:
        database = await asyncpg.connect(dsn)
        try:
            return [await database.fetchval(question) for question in _QUESTIONS.values()]
        finally:
            await database.close()

    return complaints(asyncio.run(ask()), served, abandoned)


def complaints(counts: Sequence[int], served: int, abandoned: int) -> list[str]:
    """Sentences about `counts`, in the order of the questions, that should not be true.

    An answer that the load client gave up on may have been finished and charged, or charged in part, or neither.
    """
    found = dict(zip(_QUESTIONS, counts, strict=True))
    whole = found["charged"] - found["partial"]
    wrong = []
    if not served <= whole <= served + abandoned:
        wrong.append(
            f"{served} answers were received whole ({abandoned} more given up), but {whole} are charged as whole"
        )
    if found["partial"] > abandoned:
        wrong.append(f"{found['partial']} answers are charged in part, but only {abandoned} were given up")
    if found["mispriced"]:
        wrong.append(f"{found['mispriced']} charges are not tokens times price")
    if found["unbalanced"]:
        wrong.append(f"{found['unbalanced']} accounts have a balance that is not the sum of their ledger")
    if found["promised"]:
        wrong.append(f"{found['promised']} holds, leases or reserved amounts were not given back")
    if found["uncharged"]:
        wrong.append(f"{found['uncharged']} answered requests have no charge of the amount on record")
    return wrong
