"""Google's Imagen: the predict method of a model, at AI Studio and on Vertex AI. https://ai.google.dev/gemini-api/docs/imagen"""

from typing import Any

from gatewayz.core.media import ImageAnswer, Picture
from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Encoded, Target
from gatewayz.dialects.images.shapes import ratio
from gatewayz.dialects.media.service import MediaDialect, facts, inside
from gatewayz.dialects.parameters import unsupported

MOST_IMAGES = 4
_FAMILY = "imagen-"
_RATIOS = frozenset({"1:1", "3:4", "4:3", "9:16", "16:9"})
_ANY_QUALITY = (None, "auto", "standard")


class ImagenPredict(MediaDialect):
    """The `ProviderDialect` of Imagen; the model stands in the address."""

    name = "imagen_predict"
    service: Service = "image_generations"

    def dropped(self, request: Any, target: Target) -> tuple[str, ...]:
        return tuple(sorted(request.extra))

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        if not target.native_id.removeprefix("models/").startswith(_FAMILY):
            raise unsupported("model", "makes images in a chat only at this provider")
        if request.form == "url":
            raise unsupported("response_format", "must be 'b64_json': this provider gives no addresses")
        if request.quality not in _ANY_QUALITY:
            raise unsupported("quality", "cannot be chosen at this provider")
        if request.n > MOST_IMAGES:
            raise unsupported("n", f"may be {MOST_IMAGES} at most at this provider")
        parameters: dict[str, Any] = {"sampleCount": request.n}
        if request.size not in (None, "auto"):
            parameters["aspectRatio"] = ratio(request.size, _RATIOS)
        return json_text.dump({"instances": [{"prompt": request.prompt}], "parameters": parameters})

    def read_answer(self, body: bytes, provider: str = "") -> tuple[ImageAnswer, AnswerFacts]:
        answer = json_text.load(body)
        # What was filtered has no bytes, and where everything was there is no list.
        rows = inside(answer, "predictions") if isinstance(answer, dict) and "error" not in answer else None
        if rows is None and answer == {}:
            rows = []
        if not isinstance(rows, list):
            raise ValueError("no predictions")
        found = [inside(row, "bytesBase64Encoded") for row in rows]
        images = tuple(Picture(each) for each in found if isinstance(each, str) and each)
        usage = Usage(images=len(images))
        return ImageAnswer(images, usage), facts(usage, not images)


IMAGEN_PREDICT = ImagenPredict()
