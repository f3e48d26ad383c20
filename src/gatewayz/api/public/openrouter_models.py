"""OpenRouter's pages about the catalog: models, the endpoints of one, providers."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from gatewayz.api.auth import needs
from gatewayz.api.public.model_entry import standing_of
from gatewayz.api.public.openrouter_entry import architecture, endpoint_entry, model_entry
from gatewayz.api.public.shelf import House as ShelfHouse
from gatewayz.api.public.shelf import View, page, respond
from gatewayz.catalog import find, not_found
from gatewayz.catalog.listing import Served, served
from gatewayz.catalog.models import MEDIA, media_of
from gatewayz.core.caller import Caller
from gatewayz.dialects.parameters import wrong_value
from gatewayz.infra.answers import Answer, tag_of
from gatewayz.infra.clock import US_PER_S
from gatewayz.providers.profile import load_profiles
from gatewayz.providers.registry import Providers

_routes = APIRouter(tags=["openrouter"])
Inferring = Annotated[Caller, Depends(needs("inference"))]


Outputs = Annotated[
    str | None,
    Query(
        max_length=500,
        description="only models that make one of these, separated by commas: text, image, audio, video, speech,"
        " transcription, embeddings, rerank, score; all by default",
    ),
]
# What OpenRouter calls the answers of a kind of model, where its words are not the media here.
_OUTPUTS_OF: Mapping[str, frozenset[str]] = {
    "audio_speech": frozenset({"speech"}),
    "audio_transcription": frozenset({"transcription"}),
    "embedding": frozenset({"embeddings", "embedding"}),
    "rerank": frozenset({"rerank", "score"}),
}
_KNOWN_OUTPUTS = frozenset(MEDIA).union(*_OUTPUTS_OF.values()) - {"file"}


class House(ShelfHouse, Protocol):
    """What these pages need besides."""

    @property
    def providers(self) -> Providers: ...


@_routes.get("/api/v1/models", summary="The models that can be used, in OpenRouter's form")
async def list_models(
    request: Request,
    supported_parameters: Annotated[
        str | None, Query(max_length=500, description="only models that understand all of these, separated by commas")
    ] = None,
    output_modalities: Outputs = None,
) -> Response:
    """Prices are USD per token, as strings. The list is whole: it has no pages."""
    wanted, outputs = _words(supported_parameters), _outputs(output_modalities)
    providers = _house(request).providers

    def build(view: View) -> dict[str, Any]:
        entries = (model_entry(row, providers) for row in view.rows if _makes(row, outputs))
        return _whole([entry for entry in entries if wanted <= set(entry["supported_parameters"])])

    return await page(request, "openrouter-models", [sorted(wanted), sorted(outputs)], build)


@_routes.get("/api/v1/models/count", summary="How many models can be used")
async def count_models(request: Request, output_modalities: Outputs = None) -> Response:
    """The number of entries of `GET /api/v1/models`."""
    outputs = _outputs(output_modalities)

    def build(view: View) -> dict[str, Any]:
        return {"data": {"count": sum(_makes(row, outputs) for row in view.rows)}}

    return await page(request, "openrouter-count", sorted(outputs), build)


@_routes.get("/api/v1/models/user", summary="The models that this key may use, in OpenRouter's form")
async def own_models(request: Request, caller: Inferring) -> dict[str, Any]:
    """As `GET /api/v1/models`, without what the key's allowlist keeps from it."""
    house = _house(request)
    rows = served(house.catalog.current, house.providers.reach())
    allowed = frozenset(name.lower() for name in caller.model_allowlist)
    may = [row for row in rows if not allowed or row.model.id.lower() in allowed]
    return _whole([model_entry(row, house.providers) for row in may])


@_routes.get("/v1/models/{author}/{slug}/endpoints", summary="Who serves a model, in OpenRouter's form")
@_routes.get("/api/v1/models/{author}/{slug}/endpoints", summary="Who serves a model, in OpenRouter's form")
async def list_endpoints(request: Request, author: str, slug: str) -> Response:
    """Each offer with price, limits and what was recorded of it in the last day. Raises NotFound `model_not_found`."""
    row = _row(request, f"{author}/{slug}")
    house = _house(request)
    model = row.model
    standing = standing_of(house.breakers.states(), house.traffic.current, house.huggingface.facts)
    data = {
        "id": model.id,
        "name": model.name,
        "created": model.created_at_us // US_PER_S,
        "description": "",
        "architecture": architecture(model),
        "endpoints": [endpoint_entry(model, offer, standing, house.providers) for offer in row.offers],
    }
    body = msgspec.json.encode({"data": data})
    return respond(request, Answer(body, tag_of(body)))


@_routes.get("/api/v1/models/{author}/{slug}", summary="One model, in OpenRouter's form")
@_routes.get("/api/v1/model/{author}/{slug}", include_in_schema=False)
async def read_model(request: Request, author: str, slug: str) -> dict[str, Any]:
    """The entry of the list. Raises NotFound `model_not_found`."""
    return {"data": model_entry(_row(request, f"{author}/{slug}"), _house(request).providers)}


@_routes.get("/api/v1/providers", summary="The providers that can be called, in OpenRouter's form")
async def list_providers(request: Request) -> dict[str, Any]:
    """Name and slug; addresses of policies are not known and null."""
    profiles = load_profiles()
    found = []
    for provider in _house(request).providers.all():
        profile = profiles.get(provider.slug)
        found.append(
            {
                "name": provider.name,
                "slug": provider.slug,
                "privacy_policy_url": None,
                "terms_of_service_url": None,
                "status_page_url": None,
                "headquarters": None,
                "datacenters": None,
                "site_url": provider.site_url or (profile.site_url if profile else None),
            }
        )
    return {"data": found}


def _words(listed: str | None) -> frozenset[str]:
    return frozenset(word.strip() for word in (listed or "").split(",") if word.strip())


def _outputs(listed: str | None) -> frozenset[str]:
    """The wanted kinds of answers; none: any. Raises InvalidRequest for a word that names none."""
    wanted = frozenset(word.lower() for word in _words(listed))
    unknown = sorted(wanted - _KNOWN_OUTPUTS - {"all"})
    if unknown:
        raise wrong_value("output_modalities", f"all, or some of {', '.join(sorted(_KNOWN_OUTPUTS))}, not {unknown[0]}")
    return frozenset() if "all" in wanted else wanted


def _makes(row: Served, outputs: frozenset[str]) -> bool:
    model = row.model
    return not outputs or not outputs.isdisjoint(_OUTPUTS_OF.get(model.kind) or media_of(model.modality)[1])


def _whole(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """A list that is complete: there is no next page."""
    return {"data": entries, "total_count": len(entries), "links": {"next": None}}


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


def _row(request: Request, name: str) -> Served:
    house = _house(request)
    catalog = house.catalog.current
    found = find(catalog, name)
    offers = catalog.within(found.model, house.providers.reach()) if found else ()
    if found is None or not offers:
        raise not_found(catalog, name, house.providers.active_slugs())
    return Served(found.model, offers)


def router() -> APIRouter:
    """GET /api/v1/models, /api/v1/models/{author}/{slug}/endpoints, /api/v1/providers."""
    return _routes
