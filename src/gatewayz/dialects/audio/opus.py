"""How long the packets of an Ogg Opus file sound: each says so in its first byte (RFC 6716, 3.1), and players go by that."""

from collections.abc import Iterator

Bytes = bytes | memoryview
_MARK = b"OggS"
_HEAD = 27  # of a page, before the lengths of its segments
_LONGEST_PAGE = _HEAD + 255 + 255 * 255
# At how many places of a file the packets are looked at.
_PROBES = 64
# Samples at 48 kHz of one frame, by the last bits of the configuration.
_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)


def least_samples(data: Bytes) -> int:
    """Samples at 48 kHz that a whole file lasts at least, by packets all over it; 0 if they cannot be found.

    Long pages are hit more often than others, so that a file's own honest count is never below this.
    """
    start = _first_sound(data)
    samples = size = 0
    for probe in range(_PROBES if start else 0):
        at = start + (len(data) - start) * probe // _PROBES
        found = bytes(data[at : at + _LONGEST_PAGE]).find(_MARK)
        end = _end(data, at + found) if found >= 0 else 0
        if end and (end == len(data) or bytes(data[end : end + 4]) == _MARK):
            samples += sum(map(_samples, _packets(data, at + found)))
            size += end - at - found
    return (len(data) - start) * samples // size * 9 // 10 if size else 0


def _first_sound(data: Bytes) -> int:
    """Where the first page is that ends a packet of sound: names and pictures come before it. 0 if there is none."""
    at = 0
    while bytes(data[at : at + 4]) == _MARK:
        if int.from_bytes(data[at + 6 : at + 14], "little", signed=True) > 0:
            return at
        at = _end(data, at)
        if not at:
            break
    return 0


def _end(data: Bytes, page: int) -> int:
    """Where the page that begins here ends; 0 if it is cut off."""
    if page + _HEAD > len(data):
        return 0
    lengths = data[page + _HEAD : page + _HEAD + data[page + 26]]
    end = page + _HEAD + len(lengths) + sum(lengths)
    return end if end <= len(data) else 0


def _packets(data: Bytes, page: int) -> Iterator[bytes]:
    """The first two bytes of each packet that begins on this page."""
    count = data[page + 26]
    at, begins = page + _HEAD + count, not data[page + 5] & 1
    for length in data[page + _HEAD : page + _HEAD + count]:
        if begins and length:
            yield bytes(data[at : at + 2])
        at += length
        begins = length < 255


def _samples(packet: bytes) -> int:
    config, frames = packet[0] >> 3, packet[0] & 3
    each = _SILK[config & 3] if config < 12 else _HYBRID[config & 1] if config < 16 else _CELT[config & 3]
    if frames == 3:
        return each * (packet[1] & 63) if len(packet) > 1 else 0
    return each * (2 if frames else 1)
