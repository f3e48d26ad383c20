"""The packaged seed: what the product knows of models and prices before any operator or provider has spoken."""

import gzip
import hashlib
from importlib import resources

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.catalog.records import ModelRecord
from gatewayz.catalog.store import claim_writing, remember_seed_digest, seed_digest, write_source
from gatewayz.infra.changes import announce

TOPIC = "catalog"
_DECODER = msgspec.json.Decoder(list[ModelRecord])


def packaged_seed() -> bytes:
    """The compressed seed file, as shipped."""
    return resources.files("gatewayz.catalog").joinpath("seed/models.json.gz").read_bytes()


def seed_records(content: bytes) -> list[ModelRecord]:
    """The models of a compressed seed file."""
    return _DECODER.decode(gzip.decompress(content))


async def apply_seed(connection: AsyncConnection, content: bytes, now_us: int) -> bool:
    """Writes the seed unless exactly this one was written before; returns whether anything was written.

    Runs in the caller's transaction. Only rows of the seed are touched; processes that start together write it once.
    """
    digest = hashlib.sha256(content).hexdigest()
    if await seed_digest(connection) == digest:
        return False
    await claim_writing(connection)
    if await seed_digest(connection) == digest:
        return False
    await write_source(connection, "seed", seed_records(content), now_us)
    await remember_seed_digest(connection, digest)
    await announce(connection, TOPIC, "seed", now_us)
    return True
