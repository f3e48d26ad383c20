"""Sound: transcription and translation of files into text, and speech from text, in OpenAI's form."""

from gatewayz.dialects.audio.speech import OPENAI_SPEECH
from gatewayz.dialects.audio.transcription import (
    OPENAI_TRANSCRIPTIONS,
    OPENAI_TRANSLATIONS,
    TRANSCRIPTIONS_BASE64,
)

__all__ = ["OPENAI_SPEECH", "OPENAI_TRANSCRIPTIONS", "OPENAI_TRANSLATIONS", "TRANSCRIPTIONS_BASE64"]
