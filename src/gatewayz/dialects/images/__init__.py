"""Images in OpenAI's form: made from a text, edited, varied; and in Imagen's on the provider's side."""

from gatewayz.dialects.images.imagen import IMAGEN_PREDICT
from gatewayz.dialects.images.openai import OPENAI_IMAGE_EDITS, OPENAI_IMAGE_VARIATIONS, OPENAI_IMAGES

__all__ = ["IMAGEN_PREDICT", "OPENAI_IMAGES", "OPENAI_IMAGE_EDITS", "OPENAI_IMAGE_VARIATIONS"]
