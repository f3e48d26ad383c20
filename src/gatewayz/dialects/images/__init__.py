"""Images in OpenAI's form: made from a text, edited, varied."""

from gatewayz.dialects.images.openai import OPENAI_IMAGE_EDITS, OPENAI_IMAGE_VARIATIONS, OPENAI_IMAGES

__all__ = ["OPENAI_IMAGES", "OPENAI_IMAGE_EDITS", "OPENAI_IMAGE_VARIATIONS"]
