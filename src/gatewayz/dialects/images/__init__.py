"""Images in OpenAI's form: made from a text, edited, varied; to providers in Imagen's, fal's, Replicate's, DashScope's."""

from gatewayz.dialects.images.dashscope import DASHSCOPE_IMAGE_EDITS, DASHSCOPE_IMAGES
from gatewayz.dialects.images.fal import FAL_IMAGE_EDITS, FAL_IMAGES
from gatewayz.dialects.images.imagen import IMAGEN_PREDICT
from gatewayz.dialects.images.openai import OPENAI_IMAGE_EDITS, OPENAI_IMAGE_VARIATIONS, OPENAI_IMAGES
from gatewayz.dialects.images.replicate import REPLICATE_IMAGE_EDITS, REPLICATE_IMAGES

__all__ = [
    "DASHSCOPE_IMAGES",
    "DASHSCOPE_IMAGE_EDITS",
    "FAL_IMAGES",
    "FAL_IMAGE_EDITS",
    "IMAGEN_PREDICT",
    "OPENAI_IMAGES",
    "OPENAI_IMAGE_EDITS",
    "OPENAI_IMAGE_VARIATIONS",
    "REPLICATE_IMAGES",
    "REPLICATE_IMAGE_EDITS",
]
