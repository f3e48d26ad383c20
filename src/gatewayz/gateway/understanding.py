"""What does a request for a service beside chats ask for? Read beside the event loop where it is large."""

import asyncio

from gatewayz.core.errors import TooLarge
from gatewayz.dialects.base import Glance
from gatewayz.dialects.media import MediaDialect
from gatewayz.gateway.attempts import OFF_LOOP_BYTES
from gatewayz.gateway.ports import Call


async def understood(dialect: MediaDialect, call: Call, file_limit_bytes: int) -> Glance:
    """The glance at the body. Raises InvalidRequest naming the field, TooLarge for a file above the limit."""
    if len(call.body) > OFF_LOOP_BYTES:
        glance = await asyncio.to_thread(dialect.look, call.body, call.content_type)
    else:
        glance = dialect.look(call.body, call.content_type)
    parts = glance.counted.parts if glance.counted is not None else ()
    if any(len(part.data) > file_limit_bytes for part in parts):
        raise TooLarge(
            f"The file is larger than {file_limit_bytes / 1_000_000:g} MB, the limit here.",
            param="file",
            details={"limit_bytes": file_limit_bytes},
        )
    return glance
