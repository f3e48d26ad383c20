"""Content codings of a body: gzip and deflate, undone piece by piece so that no small reply fills the memory."""

import zlib

from gatewayz.infra.http_client import Broken

_ZLIB_OR_GZIP = 47
_RAW_DEFLATE = -15


class Inflater:
    """A state machine: `feed` what came, `take` what it says, in bounded pieces."""

    __slots__ = ("_began", "_is_full", "_is_gzip", "_machine", "_waiting")

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._machine = zlib.decompressobj(_ZLIB_OR_GZIP)
        self._began = False
        self._is_full = False  # the last piece was as long as allowed: the machine may hold more without new bytes
        self._waiting = b""

    def feed(self, data: bytes) -> None:
        """Adds compressed bytes."""
        self._waiting = self._waiting + data if self._waiting else data

    def take(self, most: int) -> bytes:
        """At most `most` bytes of content, b"" if more must be fed first. Raises Broken."""
        while self._waiting or self._is_full:
            if not self._began:
                self._begin()
            try:
                content = self._machine.decompress(self._waiting, most)
            except zlib.error:
                raise Broken("the body does not follow its Content-Encoding") from None
            self._is_full = len(content) == most
            self._waiting = self._machine.unconsumed_tail
            if self._machine.eof:
                # A gzip file may be several in a row; so may a body.
                self._waiting = self._machine.unused_data
                if self._waiting and not self._is_gzip:
                    raise Broken("bytes after the end of a compressed body")
                if self._waiting:
                    self._machine = zlib.decompressobj(_ZLIB_OR_GZIP)
            if content:
                return content
        return b""

    def check_end(self) -> None:
        """Raises Broken if the body ended in the middle; a body of no bytes is whole."""
        if self._began and not self._machine.eof:
            raise Broken("the compressed body ended too early")

    def _begin(self) -> None:
        # What is called deflate is zlib by the standard, and bare deflate with some servers.
        self._began = True
        if not self._is_gzip and self._waiting[0] & 0x0F != zlib.DEFLATED:
            self._machine = zlib.decompressobj(_RAW_DEFLATE)


class Refused:
    """Stands for a coding that nobody asked for and that is not known here."""

    __slots__ = ()

    def feed(self, data: bytes) -> None:
        """Forgets the bytes: nothing can be made of them."""

    def take(self, most: int) -> bytes:
        """Raises Broken."""
        raise Broken("a Content-Encoding that was not asked for")

    def check_end(self) -> None:
        """A body of no bytes needs no coding."""


def decoder_for(coding: bytes) -> Inflater | Refused | None:
    """What undoes a Content-Encoding; None for none."""
    name = coding.strip().lower()
    if name in (b"", b"identity"):
        return None
    if name in (b"gzip", b"x-gzip", b"deflate"):
        return Inflater(is_gzip=name != b"deflate")
    return Refused()
