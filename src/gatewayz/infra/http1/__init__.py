"""An HTTP/1.1 client of few parts: llhttp parses, asyncio or uvloop carries, `ssl` encrypts; see docs/adr/0017."""

from gatewayz.infra.http1.transport import Http1Transport

__all__ = ["Http1Transport"]
