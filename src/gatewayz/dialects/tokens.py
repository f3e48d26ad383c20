"""Estimates of prompt tokens before any provider was asked: cheap, pure, and rather a little too high than too low.

Formula: ASCII characters / 4, rounded up, plus one token for each non-ASCII character (CJK text is about one token a
character; accented Latin is overestimated a little). English prose has about 4.4 characters a token, so that the
estimate stays above it. JSON escapes count as the characters they are written with. Media are fixed amounts, never
the length of their base64.
"""

# Figures, code and base64 have up to twice the tokens of prose. Where nothing else is set aside, this is.
DENSEST = 2
MESSAGE_TOKENS = 4  # role and separators of one message
REQUEST_TOKENS = 3  # the primed answer
IMAGE_TOKENS = 1_100
DOCUMENT_TOKENS = 1_500  # at least this much: about a page
DOCUMENT_BYTES_PER_TOKEN = 30  # base64 characters of a PDF for each token of its text and page images
AUDIO_TOKENS = 50
AUDIO_BYTES_PER_TOKEN = 1_000

_NOT_ASCII = bytes(range(0x80, 0x100))
_NOT_LEADING = bytes(range(0xC0))


def estimate_tokens(text: str | bytes) -> int:
    """Estimated tokens of a text (bytes are read as UTF-8; invalid bytes are counted, never refused)."""
    if text.isascii():
        return (len(text) + 3) // 4
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    ascii_chars = len(data.translate(None, _NOT_ASCII))
    other_chars = len(data.translate(None, _NOT_LEADING))
    return (ascii_chars + 3) // 4 + other_chars


def string_tokens(text: bytes) -> int:
    """Estimated tokens of a JSON string, given with its quotes."""
    return (len(text) + 1) // 4 if text.isascii() else estimate_tokens(text[1:-1])


def document_tokens(base64_length: int) -> int:
    """Estimated tokens of a document whose base64 has this length (0: by reference)."""
    return max(DOCUMENT_TOKENS, base64_length // DOCUMENT_BYTES_PER_TOKEN)


def audio_tokens(base64_length: int) -> int:
    """Estimated tokens of a recording whose base64 has this length."""
    return max(AUDIO_TOKENS, base64_length // AUDIO_BYTES_PER_TOKEN)
