"""What an answer consumed, in tokens and pieces; one normal form for all dialects."""

import msgspec

# As JSON, which is kept with each charge, counts have shorter names, and those of zero are left out. A member that this
# version does not know would be left out of a sum, so it is refused instead.
_KEPT_AS = {
    "prompt_tokens": "prompt",
    "completion_tokens": "completion",
    "cached_tokens": "cached",
    "cache_write_5m_tokens": "cache_write_5m",
    "cache_write_1h_tokens": "cache_write_1h",
    "reasoning_tokens": "reasoning",
    "audio_input_tokens": "audio_input",
    "audio_output_tokens": "audio_output",
    "image_input_tokens": "image_input",
    "image_output_tokens": "image_output",
}


class Usage(msgspec.Struct, frozen=True, gc=False, rename=_KEPT_AS, omit_defaults=True, forbid_unknown_fields=True):
    """Counts of one answer.

    `prompt_tokens` counts all input, cached and cache-written tokens included; `completion_tokens` counts all output,
    reasoning included. The other token counts are parts of these two, never additions. Beside them stand what is priced
    by the piece: `images` made, milliseconds of audio in and out, `characters` spoken, `searches` of a reranker,
    `web_searches` that the provider ran for the answer, as it bills them.
    `estimated` is true when the provider was silent and the gateway counted.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    audio_input_ms: int = 0
    audio_output_ms: int = 0
    characters: int = 0
    searches: int = 0
    web_searches: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Input plus output tokens."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cache_write_tokens(self) -> int:
        """Tokens written to the prompt cache, all lifetimes together."""
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens


NOTHING = Usage()
