"""What is this file, and how long does it sound? From its bytes, never from its name.

Lengths are read from headers: exact for WAV, FLAC, Ogg, MP4 and WebM, and for MP3 with a frame count or a constant bit rate.
A file is charged by its length, so a member of a header that players do not look at is not believed against the bytes
that they do play: the byte rate of WAV, the counts of MP3, FLAC and Ogg Opus.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal

from gatewayz.dialects.audio.opus import least_samples

Kind = Literal["mp3", "mp4", "wav", "webm", "ogg", "flac"]

# What may be sent, as it is told to a caller whose file is something else.
ACCEPTED = "mp3, mp4, mpeg, mpga, m4a, wav, webm, ogg, flac"
# The extensions that mean the same kind of file, the plainest first.
EXTENSIONS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "mp3": ("mp3", "mpeg", "mpga"),
        "mp4": ("m4a", "mp4"),
        "wav": ("wav",),
        "webm": ("webm",),
        "ogg": ("ogg", "oga", "opus"),
        "flac": ("flac",),
    }
)
MEDIA_TYPES: Mapping[Kind, str] = MappingProxyType(
    {
        "mp3": "audio/mpeg", "mp4": "audio/mp4", "wav": "audio/wav", "webm": "audio/webm", "ogg": "audio/ogg",
        "flac": "audio/flac",
    }
)  # fmt: skip

Bytes = bytes | memoryview
_TAIL = 65_536
# PCM, floats, A-law, mu-law, and the extended form that holds one of these.
_SAMPLES = frozenset({0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE})
# At how many places of an MP3 file with a count of frames the bit rate is looked up.
_PROBES = 64
_LONGEST_MS = 7 * 24 * 3_600_000


def sniff(data: Bytes) -> Kind | None:
    """What kind of sound file begins with these bytes; None if it is none of those that are accepted."""
    head = bytes(data[:64])
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"OggS":
        return "ogg"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "webm"
    if head[4:8] == b"ftyp":
        return "mp4"
    if head[:3] == b"ID3" or (_mp3_frame(head) is not None):
        return "mp3"
    return None


def length_ms(kind: Kind, data: Bytes) -> int | None:
    """Milliseconds of a whole file; None where its header does not tell. Never raises."""
    return length_of(kind, data, len(data), data[-_TAIL:])


def length_of(kind: str, head: Bytes, size: int, tail: Bytes) -> int | None:
    """As `length_ms`, of a file of which only its first and last bytes are at hand."""
    reader = _READERS.get(kind)
    if reader is None:
        return None
    try:
        found = reader(head, size, tail)
    except (struct.error, IndexError, ZeroDivisionError, OverflowError, ValueError):
        return None
    return found if found is not None and 0 < found <= _LONGEST_MS else None


def _wav(head: Bytes, size: int, _tail: Bytes) -> int | None:
    at, per_second = 12, 0
    while at + 8 <= len(head):
        name, length = bytes(head[at : at + 4]), int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"fmt ":
            per_second = _wav_rate(*struct.unpack_from("<HHIIHH", head, at + 8))
        elif name == b"data":
            # Streams do not know their length when the header is written.
            left = size - at - 8
            return _ceil(min(length, left) * 1000, per_second)
        at += 8 + length + length % 2
    return None


def _wav_rate(form: int, channels: int, rate: int, stated: int, block: int, bits: int) -> int:
    """Bytes a second: samples of a fixed size are played at their rate, whatever the header says of bytes."""
    each = -(-bits // 8) * channels if form in _SAMPLES else 0
    return rate * (each or block) if form in _SAMPLES and rate * (each or block) else stated


def _flac(head: Bytes, size: int, _tail: Bytes) -> int | None:
    block = int.from_bytes(head[18:26], "big")
    rate, samples = block >> 44, block & (2**36 - 1)
    if not samples:
        return None
    # Sound is never larger than its samples, except by the frames around those that cannot be made smaller.
    a_second = rate * ((block >> 41 & 7) + 1) * ((block >> 36 & 31) + 1) // 8
    least = (size - _flac_sound(head)) * 10_000 // (11 * a_second)
    return max(_ceil(samples * 1000, rate), least)


def _flac_sound(head: Bytes) -> int:
    """Where the sound begins, behind what is said about it (pictures, for example)."""
    at = 4
    while at + 4 <= len(head):
        last, length = head[at] & 0x80, int.from_bytes(head[at + 1 : at + 4], "big")
        at += 4 + length
        if last:
            break
    return at


def _ogg(head: Bytes, size: int, tail: Bytes) -> int | None:
    first, least = bytes(head[:4096]), 0
    if (at := first.find(b"OpusHead")) >= 0:
        rate, skipped = 48_000, int.from_bytes(first[at + 10 : at + 12], "little")
        least = least_samples(head) if len(head) >= size else 0
    elif (at := first.find(b"\x01vorbis")) >= 0:
        rate, skipped = int.from_bytes(first[at + 12 : at + 16], "little"), 0
    else:
        return None
    end = bytes(tail)
    last = end.rfind(b"OggS")
    if last < 0:
        return None
    granule = int.from_bytes(end[last + 6 : last + 14], "little", signed=True)
    return _ceil(max(granule - skipped, least) * 1000, rate)


def _mp4(head: Bytes, _size: int, _tail: Bytes) -> int | None:
    for name, body in _boxes(head):
        if name == b"moov":
            for inner, data in _boxes(body):
                if inner == b"mvhd":
                    wide = data[0] == 1
                    rate, length = struct.unpack_from(">IQ" if wide else ">II", data, 20 if wide else 12)
                    return _ceil(length * 1000, rate)
    return None


def _boxes(data: Bytes) -> Iterator[tuple[bytes, Bytes]]:
    view, at = memoryview(data), 0
    while at + 8 <= len(view):
        length, name = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8])
        start = at + 8
        if length == 1:
            length, start = int.from_bytes(view[at + 8 : at + 16], "big"), at + 16
        end = at + length if length else len(view)
        if end < start:
            return
        yield name, view[start:end]
        at = end


def _webm(head: Bytes, _size: int, _tail: Bytes) -> int | None:
    first = bytes(head[:65_536])
    scale = 1_000_000
    if (at := first.find(b"\x2a\xd7\xb1")) >= 0:
        width = first[at + 3] & 0x7F
        scale = int.from_bytes(first[at + 4 : at + 4 + width], "big")
    at = first.find(b"\x44\x89")
    if at < 0 or first[at + 2] not in (0x84, 0x88):
        return None
    wide = first[at + 2] == 0x88
    (length,) = struct.unpack_from(">d" if wide else ">f", first, at + 3)
    return int(length * scale / 1_000_000 + 0.999)


_BITRATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # MPEG 1, layer III
_BITRATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # MPEG 2 and 2.5, layer III
_RATES = (44_100, 48_000, 32_000)


def _mp3_frame(data: bytes) -> tuple[int, int, int, bool] | None:
    """Bit rate, sample rate, samples a frame and whether MPEG 1, of the frame that begins here; None if none does."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    bitrate, rate = data[2] >> 4, data[2] >> 2 & 3
    if version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return None
    first = version == 3
    kilobits = (_BITRATES_1 if first else _BITRATES_2)[bitrate]
    return kilobits * 1000, _RATES[rate] >> (0 if first else 1 if version == 2 else 2), 1152 if first else 576, first


def _mp3(head: Bytes, size: int, _tail: Bytes) -> int | None:
    at = 0
    if bytes(head[:3]) == b"ID3":
        at = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    window = bytes(head[at : at + 65_536])
    for offset in range(len(window) - 4):
        if window[offset] != 0xFF:
            continue
        frame = _mp3_frame(window[offset : offset + 4])
        if frame is None:
            continue
        bitrate, rate, samples, _ = frame
        counted = _frame_count(window[offset : offset + 200])
        if counted:
            return max(_ceil(counted * samples * 1000, rate), _mp3_least(head, size, at + offset))
        return _ceil((size - at - offset) * 8 * 1000, bitrate)
    return None


def _mp3_least(data: Bytes, size: int, start: int) -> int:
    """Milliseconds that a file which is wholly at hand lasts at least, by the bit rates of frames all over it; else 0.

    Frames of a high bit rate are hit more often than others, so that an honest count is never below this.
    """
    if len(data) < size:
        return 0
    rates: list[int] = []
    for probe in range(_PROBES):
        at = start + (size - start) * probe // _PROBES
        window = bytes(data[at : at + 4096])
        offset = window.find(b"\xff")
        while 0 <= offset < len(window) - 4:
            frame = _mp3_frame(window[offset : offset + 4])
            step = frame[2] // 8 * frame[0] // frame[1] if frame else 0
            after = _mp3_frame(window[offset + step : offset + step + 5]) or _mp3_frame(
                window[offset + step + 1 : offset + step + 5]
            )
            if frame and after and after[1:] == frame[1:]:
                rates.append(frame[0])
                break
            offset = window.find(b"\xff", offset + 1)
    # Whoever hides the frames does not hide them from a player either: some places without any are usual.
    return (size - start) * 8_000 * len(rates) // sum(rates) * 9 // 10 if len(rates) > _PROBES // 2 else 0


def _frame_count(frame: bytes) -> int:
    """The number of frames that an encoder wrote into the first one; 0 if it did not."""
    for mark in (b"Xing", b"Info"):
        at = frame.find(mark)
        if at >= 0 and frame[at + 7] & 1:
            return int.from_bytes(frame[at + 8 : at + 12], "big")
    at = frame.find(b"VBRI")
    return int.from_bytes(frame[at + 14 : at + 18], "big") if at >= 0 else 0


def _pcm(_head: Bytes, size: int, _tail: Bytes) -> int | None:
    return _ceil(size * 1000, 48_000)  # 24,000 samples of 16 bits a second, as OpenAI sends it


def _ceil(amount: int, per: int) -> int:
    return -(-amount // per)


_READERS: Mapping[str, Callable[[Bytes, int, Bytes], int | None]] = MappingProxyType(
    {
        "wav": _wav, "flac": _flac, "ogg": _ogg, "opus": _ogg, "mp4": _mp4, "webm": _webm, "mp3": _mp3, "pcm": _pcm,
    }
)  # fmt: skip
