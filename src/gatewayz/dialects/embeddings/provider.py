"""What the provider's side of other forms of embeddings shares."""

from typing import Any

from gatewayz.core.media import EmbeddingRequest, Vector
from gatewayz.core.services import Service
from gatewayz.dialects.base import Target
from gatewayz.dialects.media.service import MediaDialect
from gatewayz.dialects.parameters import unsupported


class EmbeddingProvider(MediaDialect):
    """A `ProviderDialect` of embeddings. `passed` are further fields that it knows; others are left out and named."""

    service: Service = "embeddings"
    passed: tuple[str, ...] = ()

    def dropped(self, request: Any, target: Target) -> tuple[str, ...]:
        names = {*request.extra} - {*self.passed}
        return tuple(sorted(names | {"user"} if request.user is not None else names))

    def known(self, request: EmbeddingRequest) -> dict[str, Any]:
        """The further fields of the request that are sent."""
        return {name: request.extra[name] for name in self.passed if name in request.extra}


def texts_of(request: EmbeddingRequest) -> list[str]:
    """The inputs as texts. Raises InvalidRequest for token ids, which mean something to one tokeniser only."""
    texts = [each for each in request.inputs if isinstance(each, str)]
    if len(texts) < len(request.inputs):
        raise unsupported("input", "holds token ids, which this provider does not read; send texts")
    return texts


def vectors_in(value: Any) -> tuple[Vector, ...]:
    """The vectors of an answer. Raises ValueError for what is no list of lists of numbers."""
    if not isinstance(value, list) or not all(isinstance(each, list) and each for each in value):
        raise ValueError("no embeddings")
    return tuple(value)
