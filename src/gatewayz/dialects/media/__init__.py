"""What the dialects of the services beside chats share: forms, streams of files and events, plain JSON."""

from gatewayz.dialects.media.service import MediaDialect

__all__ = ["MediaDialect"]
