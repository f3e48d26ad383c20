"""Images in OpenAI's form: made from a text, edited, varied; to providers in Imagen's, fal's, Replicate's, DashScope's."""

from gatewayz.dialects.images.dashscope import DASHSCOPE_IMAGES
from gatewayz.dialects.images.fal import FAL_IMAGES
from gatewayz.dialects.images.imagen import IMAGEN_PREDICT
from gatewayz.dialects.images.openai import OPENAI_IMAGE_EDITS, OPENAI_IMAGE_VARIATIONS, OPENAI_IMAGES
from gatewayz.dialects.images.replicate import REPLICATE_IMAGES

__all__ = [
    "DASHSCOPE_IMAGES",
    "FAL_IMAGES",
    "IMAGEN_PREDICT",
    "OPENAI_IMAGES",
    "OPENAI_IMAGE_EDITS",
    "OPENAI_IMAGE_VARIATIONS",
    "REPLICATE_IMAGES",
]
