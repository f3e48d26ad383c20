"""What kind of sound a file is and how long it lasts, from files made here by hand."""

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.dialects.audio.sound import EXTENSIONS, MEDIA_TYPES, length_ms, length_of, sniff


def wav(seconds: float, rate: int = 16_000, channels: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(int(seconds * rate) * 2 * channels))
    return out.getvalue()


def mp3(frames: int, *, tag: int = 0, mark: bytes = b"", counted: int = 0) -> bytes:
    """MPEG 1 layer III at 128 kbit/s and 44.1 kHz: 417 bytes, 1152 samples each."""
    frame = b"\xff\xfb\x90\xc4" + bytes(413)
    first = b""
    if mark == b"VBRI":
        first = b"\xff\xfb\x90\xc4" + bytes(32) + b"VBRI" + bytes(10) + struct.pack(">I", counted) + bytes(363)
    elif mark:
        first = b"\xff\xfb\x90\xc4" + bytes(32) + mark + struct.pack(">II", 1, counted) + bytes(369)
    size = bytes([tag >> 21 & 127, tag >> 14 & 127, tag >> 7 & 127, tag & 127])
    head = b"ID3\x04\0\0" + size + bytes(tag) if tag else b""
    return head + first + frame * frames


def flac(samples: int, rate: int) -> bytes:
    packed = (rate << 44) | (1 << 41) | (15 << 36) | samples
    return b"fLaC\0\0\0\x22" + bytes(10) + packed.to_bytes(8, "big") + bytes(16)


def ogg(head: bytes, granule: int) -> bytes:
    page = b"OggS\0\x02" + bytes(20) + b"\x01" + bytes([len(head)]) + head
    return page + bytes(100) + b"OggS\0\x04" + struct.pack("<q", granule) + bytes(40)


def mp4(length: int, scale: int, *, wide: bool = False, late: bool = False) -> bytes:
    times = struct.pack(">B3xQQIQ", 1, 0, 0, scale, length) if wide else struct.pack(">B3xIIII", 0, 0, 0, scale, length)
    header = struct.pack(">I4s", 8 + len(times), b"mvhd") + times
    moov = struct.pack(">I4s", 8 + len(header), b"moov") + header
    media = struct.pack(">I4s", 208, b"mdat") + bytes(200)
    body = media + moov if late else moov + media
    return struct.pack(">I4s", 16, b"ftyp") + b"M4A \0\0\0\0" + body


def webm(length: float) -> bytes:
    scale = b"\x2a\xd7\xb1\x83" + (1_000_000).to_bytes(3, "big")
    return b"\x1a\x45\xdf\xa3\x80" + scale + b"\x44\x89\x88" + struct.pack(">d", length) + bytes(50)


OPUS = b"OpusHead\x01\x02" + struct.pack("<H", 312) + bytes(7)
VORBIS = b"\x01vorbis" + bytes(5) + struct.pack("<I", 44_100) + bytes(12)
FILES = {
    "wav": (wav(1.25), 1250),
    "mp3": (mp3(100), 2607),
    "flac": (flac(96_000, 48_000), 2000),
    "ogg": (ogg(OPUS, 48_000 * 3 + 312), 3000),
    "mp4": (mp4(90_000, 30_000), 3000),
    "webm": (webm(4500.0), 4500),
}


@pytest.mark.parametrize("kind", FILES)
def test_kind_and_length(kind: str) -> None:
    data, ms = FILES[kind]
    assert sniff(data) == kind
    assert length_ms(kind, data) == ms  # type: ignore[arg-type]
    assert length_ms(kind, memoryview(data)) == ms  # type: ignore[arg-type]
    assert EXTENSIONS[kind] and MEDIA_TYPES[kind]  # type: ignore[index]


@pytest.mark.parametrize(
    ("kind", "data", "ms"),
    [
        ("mp3", mp3(100, tag=70_000), 2607),
        ("mp3", mp3(3, mark=b"Xing", counted=1000), 26_123),
        ("mp3", mp3(3, mark=b"Info", counted=1000), 26_123),
        ("mp3", mp3(3, mark=b"VBRI", counted=1000), 26_123),
        ("ogg", ogg(VORBIS, 88_200), 2000),
        ("mp4", mp4(90_000, 30_000, wide=True), 3000),
        ("mp4", mp4(90_000, 30_000, late=True), 3000),
        ("wav", wav(1.0).replace(b"data" + struct.pack("<I", 64_000), b"data\xff\xff\xff\xff"), 1000),
        ("flac", flac(0, 48_000), None),
        ("ogg", b"OggS" + bytes(200), None),
        ("wav", b"RIFF\0\0\0\0WAVE", None),
        ("webm", b"\x1a\x45\xdf\xa3" + bytes(100), None),
        ("mp4", b"\0\0\0\x10ftypM4A " + bytes(4), None),
    ],
)
def test_the_corners(kind: str, data: bytes, ms: int | None) -> None:
    assert length_ms(kind, data) == ms  # type: ignore[arg-type]


def with_bytes(data: bytes, at: int, value: int, size: int) -> bytes:
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


@pytest.mark.parametrize("stated", [0, 1, 2**32 - 1])
def test_the_byte_rate_of_samples_is_not_believed(stated: int) -> None:
    assert length_ms("wav", with_bytes(wav(1.25), 28, stated, 4)) == 1250
    eight_bits = with_bytes(with_bytes(wav(1.0, channels=1), 34, 8, 2), 28, stated, 4)
    assert length_ms("wav", eight_bits) == 2000
    extended = with_bytes(with_bytes(wav(1.25), 20, 0xFFFE, 2), 28, stated, 4)
    assert length_ms("wav", extended) == 1250


def test_the_byte_rate_of_a_compressed_wav_is_all_there_is() -> None:
    assert length_ms("wav", with_bytes(with_bytes(wav(1.25), 20, 0x0011, 2), 28, 8_000, 4)) == 10_000


@pytest.mark.parametrize("mark", [b"Xing", b"VBRI"])
def test_a_count_of_frames_is_not_believed_against_the_frames(mark: bytes) -> None:
    short = length_ms("mp3", mp3(2_000, mark=mark, counted=1))
    assert short is not None and 0.85 * 52_200 < short <= 52_300
    assert length_ms("mp3", mp3(2_000, mark=mark, counted=2_000)) == 52_245
    art = length_ms("mp3", mp3(2_000, tag=200_000, mark=mark, counted=2_000))
    assert art == 52_245, "a picture in front of the sound is no sound"


def test_a_count_of_frames_of_mixed_bit_rates_is_believed() -> None:
    slow = b"\xff\xfb\x10\xc4" + bytes(100)  # 32 kbit/s
    both = mp3(1_000, mark=b"Xing", counted=4_000) + slow * 3_000
    assert length_ms("mp3", both) == 104_490


def test_a_count_of_samples_is_not_believed_against_the_bytes() -> None:
    told = flac(1, 48_000)  # two channels of 16 bits: 192,000 bytes a second
    last = told[:4] + b"\x80" + told[5:]
    assert length_ms("flac", last + bytes(1_920_000)) == 9_090
    picture = told + b"\x86" + (500_000).to_bytes(3, "big") + bytes(500_000)
    assert length_ms("flac", picture) == 1


def opus(seconds: int, *, granule: int | None = None, art: int = 0, packet: bytes = b"\xf8" + bytes(79)) -> bytes:
    """Ogg Opus of one page a second, 50 packets of 20 ms each (0xf8: one frame of CELT), with a picture before it."""

    def page(at: int, packets: list[bytes]) -> bytes:
        laces = b"".join(b"\xff" * (len(each) // 255) + bytes([len(each) % 255]) for each in packets)
        return b"OggS\0\0" + struct.pack("<q", at) + bytes(12) + bytes([len(laces)]) + laces + b"".join(packets)

    pages = [page(0, [OPUS]), *(page(0, [b"OpusTags" + bytes(50_000)]) for _ in range(art))]
    last = 48_000 * seconds + 312
    pages += [page(48_000 * (each + 1), [packet] * 50) for each in range(seconds - 1)]
    return b"".join([*pages, page(last if granule is None else granule, [packet] * 50)])


@pytest.mark.parametrize(
    ("packet", "share"),
    [
        (b"\xf8" + bytes(79), 1.0),  # one frame of 20 ms
        (b"\xf9" + bytes(79), 2.0),  # two
        (b"\xfb\x03" + bytes(78), 3.0),  # as many as the next byte says
        (b"\x18" + bytes(79), 3.0),  # SILK, 60 ms
        (b"\x60" + bytes(79), 0.5),  # hybrid, 10 ms
    ],
)
def test_the_end_of_ogg_opus_is_not_believed_against_its_packets(packet: bytes, share: float) -> None:
    true_ms = 100_000 * share
    found = length_ms("ogg", opus(100, granule=1_000, packet=packet))
    assert found is not None and 0.85 * true_ms < found < true_ms
    assert length_ms("ogg", opus(100, granule=1_000, packet=packet, art=20)) == pytest.approx(found, rel=0.02)


def test_an_honest_ogg_opus_is_believed() -> None:
    assert length_ms("ogg", opus(100)) == 100_000
    assert length_ms("ogg", opus(3, art=30)) == 3_000
    assert length_ms("ogg", memoryview(opus(100))) == 100_000
    assert length_ms("ogg", opus(100)[:-10]) == 100_000, "cut off: what its last page says"


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_which_only_the_ends_are_known(kind: str) -> None:
    data, ms = FILES[kind]
    if kind != "mp4":
        assert length_of(kind, data[:2000], len(data), data[-200:]) == ms


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"\xff\xd8\xff\xe0 a jpeg", b"GIF89a", b"ID", b"hello" * 20])
def test_what_is_no_sound(data: bytes) -> None:
    assert sniff(data) is None


@given(st.sampled_from(sorted(FILES)), st.binary(max_size=300), st.integers(0, 400))
def test_broken_files_never_raise(kind: str, noise: bytes, at: int) -> None:
    data = FILES[kind][0]
    broken = data[:at] + noise + data[at + len(noise) :][:5000]
    for name in FILES:
        found = length_ms(name, broken)  # type: ignore[arg-type]
        assert found is None or found > 0
    sniff(broken)
