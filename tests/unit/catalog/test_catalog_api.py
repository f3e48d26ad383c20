"""GET /v1/models for OpenAI and Anthropic clients."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from anthropic.types import ModelInfo
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from openai.types import Model as OpenAIModel

from gatewayz.api.public.models import router
from gatewayz.catalog import Catalog, build
from gatewayz.core.errors import GatewayError
from gatewayz.infra.answers import AnswerCache
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.redis import RedisLink
from gatewayz.operations.traffic import NOTHING, Usage
from tests.unit.catalog.catalog_values import NO_TABLES, a_model, a_price, an_offer, seeded_catalog

FREE_PRICE = a_price(0, 0)


@dataclass
class AKeeper:
    current: Catalog


@dataclass
class SomeProviders:
    slugs: frozenset[str]

    def active_slugs(self) -> frozenset[str]:
        return self.slugs

    def reach(self) -> frozenset[tuple[str, str]]:
        return frozenset((slug, "chat") for slug in self.slugs)


@dataclass
class NoBreakers:
    def states(self) -> dict[str, Any]:
        return {}


@dataclass
class NoTraffic:
    current: Usage = NOTHING


@dataclass
class NoHuggingFace:
    facts: dict[str, Any] = field(default_factory=dict)
    digest: str = ""


def _answers() -> AnswerCache:
    clock = ManualClock()
    return AnswerCache("catalog", RedisLink(None, clock), clock, entries=100, life_s=300)


@dataclass
class AHouse:
    catalog: AKeeper
    providers: SomeProviders
    answers: AnswerCache = field(default_factory=_answers)
    breakers: NoBreakers = field(default_factory=NoBreakers)
    traffic: NoTraffic = field(default_factory=NoTraffic)
    huggingface: NoHuggingFace = field(default_factory=NoHuggingFace)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """The app with a house, asked without a network."""

    house: AHouse
    app: FastAPI = field(default_factory=FastAPI)

    def __post_init__(self) -> None:
        self.app.include_router(router())
        self.app.state.house = self.house

        @self.app.exception_handler(GatewayError)
        async def _told(request: Request, error: GatewayError) -> JSONResponse:
            return JSONResponse({"code": error.code, "near": error.suggestions, "message": error.message}, error.status)

    async def get(self, path: str, headers: Mapping[str, str] | None = None, **query: Any) -> Answer:
        text = "&".join(f"{name}={quote(str(value))}" for name, value in query.items())
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": text.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "http_version": "1.1", "scheme": "http", "server": ("test", 80), "client": ("test", 1), "root_path": "",
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:]))


def _catalog() -> Catalog:
    models = [
        a_model("acme/one", name="One", created_at_us=3_000_000, capabilities=frozenset({"tools", "json_object"})),
        a_model("acme/two", modality="text+image->text", created_at_us=2_000_000, deprecation_date="2026-12-31"),
        a_model("acme/two:free", is_free=True, created_at_us=1_000_000),
        a_model("acme/unpriced"),
        a_model("acme/vectors", kind="embedding"),
        a_model("zeta/far", created_at_us=9_000_000),
    ]
    full = a_price(cache_read=500_000_000, cache_write_5m=0, request_nano_usd=10_000_000, units={"image": 40_000_000})
    offers = [
        an_offer("acme/one", "p", capabilities=frozenset({"tools", "json_object"}), price=full, regions=("us",)),
        an_offer("acme/one", "q", price=a_price(1, 1), context_length=99, regions=("eu",)),
        an_offer("acme/two", "q"),
        an_offer("acme/two:free", "p", price=FREE_PRICE),
        an_offer("acme/unpriced", "p", price=None),
        an_offer("acme/unpriced", "p", suspect=True),
        an_offer("acme/vectors", "p"),
        an_offer("zeta/far", "elsewhere"),
    ]
    return build(models, offers, NO_TABLES)


@pytest.fixture
def site() -> Site:
    return Site(AHouse(AKeeper(_catalog()), SomeProviders(frozenset({"p", "q"}))))


def _ids(answer: Answer) -> list[str]:
    assert answer.status == 200
    assert answer.json["returned"] == len(answer.json["data"])
    return [entry["id"] for entry in answer.json["data"]]


@pytest.mark.ac("AC-5.2.1")
async def test_the_list_has_openais_shape_and_our_facts(site: Site) -> None:
    answer = await site.get("/v1/models")
    assert answer.json["object"] == "list"
    assert _ids(answer) == ["acme/one", "acme/two", "acme/two:free"]
    entry = answer.json["data"][0]
    assert entry["pricing"] == {
        "prompt": "0.000002",
        "completion": "0.000008",
        "cache_read": "0.0000005",
        "cache_write": "0",
        "request": "0.01",
        "image": "0.04",
    }
    assert (entry["object"], entry["created"], entry["owned_by"], entry["name"]) == ("model", 3, "acme", "One")
    assert (entry["provider_slug"], entry["source_gateway"]) == ("p", "p")
    assert (entry["context_length"], entry["max_output_tokens"], entry["modality"]) == (8000, 1000, "text->text")
    assert entry["architecture"]["input_modalities"] == ["text"]
    assert entry["providers"] == ["p", "q"]
    assert entry["regions"] == ["eu", "us"]
    assert entry["supports_function_calling"] is entry["supports_tools"] is entry["supports_json_mode"] is True
    assert entry["supports_streaming"] is entry["supports_vision"] is entry["is_free"] is False
    assert (await site.get("/models")).body == (await site.get("/v1/v1/models")).body == answer.body


@pytest.mark.ac("AC-5.2.1", "AC-5.2.2")
async def test_everything_in_the_packaged_catalog_is_listed_with_limits_and_prices() -> None:
    catalog = seeded_catalog()
    slugs = frozenset({"openai", "anthropic", "google-ai-studio", "openrouter", "groq", "xai"})
    answer = await Site(AHouse(AKeeper(catalog), SomeProviders(slugs))).get("/v1/models")
    entries = answer.json["data"]
    assert len(entries) > 300
    for entry in entries:
        assert entry["id"] and entry["name"] and entry["provider_slug"] in slugs and entry["context_length"]
        zero = entry["pricing"]["prompt"] == entry["pricing"]["completion"] == "0"
        assert zero is entry["is_free"] is entry["id"].endswith(":free")


@pytest.mark.ac("AC-5.5.1")
async def test_a_provider_shows_its_own_models_at_its_own_price(site: Site) -> None:
    for name in ("provider", "gateway"):
        answer = await site.get("/v1/models", **{name: "Q"})
        assert _ids(answer) == ["acme/one", "acme/two"]
        assert [entry["provider_slug"] for entry in answer.json["data"]] == ["q", "q"]
        assert answer.json["data"][0]["context_length"] == 99
        assert answer.json["data"][0]["pricing"]["prompt"] == "0.000000000000001"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"provider": "nobody"}, []),
        ({"provider": "elsewhere"}, []),
        ({"provider": "p", "gateway": "q"}, []),
        ({"modality": "image"}, ["acme/two"]),
        ({"modality": "IMAGE+text->text"}, ["acme/two"]),
        ({"modality": "text->text"}, ["acme/one", "acme/two:free"]),
        ({"modality": "smell->text"}, []),
        ({"region": "EU"}, ["acme/one"]),
        ({"region": "mars"}, []),
        ({"q": "TWO acme"}, ["acme/two", "acme/two:free"]),
        ({"q": "tw-o"}, ["acme/two", "acme/two:free"]),
        ({"q": "nothing"}, []),
        ({"is_free": "true"}, ["acme/two:free"]),
        ({"is_free": "false"}, ["acme/one", "acme/two"]),
        ({"all": "true"}, ["acme/one", "acme/two", "acme/two:free", "acme/vectors", "zeta/far"]),
        ({"unheard_of": "x"}, ["acme/one", "acme/two", "acme/two:free"]),
    ],
)
async def test_filters(site: Site, query: dict[str, str], found: list[str]) -> None:
    answer = await site.get("/v1/models", **query)
    assert _ids(answer) == found
    assert answer.json["total"] == len(found)


async def test_a_page_tells_the_true_total(site: Site) -> None:
    answer = await site.get("/v1/models", limit=1, offset=1)
    assert _ids(answer) == ["acme/two"]
    assert {name: answer.json[name] for name in ("total", "limit", "offset", "has_more")} == {
        "total": 3, "limit": 1, "offset": 1, "has_more": True,
    }  # fmt: skip
    assert (await site.get("/v1/models", limit=5, offset=2)).json["has_more"] is False
    assert (await site.get("/v1/models", offset=9)).json["data"] == []


async def test_a_client_that_has_the_list_is_told_so(site: Site) -> None:
    first = await site.get("/v1/models")
    assert first.headers["cache-control"] == "public, max-age=300"
    assert first.headers["vary"] == "anthropic-version, x-goog-api-key"
    tag = first.headers["etag"]
    for known in (tag, f'"x", W/{tag}', "*"):
        again = await site.get("/v1/models", {"If-None-Match": known})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert (await site.get("/v1/models", {"If-None-Match": '"x"'})).status == 200
    assert (await site.get("/v1/models", provider="q")).headers["etag"] != tag


async def test_a_new_catalog_or_provider_shows_at_once(site: Site) -> None:
    await site.get("/v1/models")
    site.house.providers.slugs = frozenset({"q"})
    assert _ids(await site.get("/v1/models")) == ["acme/one", "acme/two"]
    site.house.catalog.current = build([a_model("acme/new")], [an_offer("acme/new", "q")], NO_TABLES)
    assert _ids(await site.get("/v1/models")) == ["acme/new"]


async def test_one_model_by_id_alias_or_provider(site: Site) -> None:
    one = await site.get("/v1/models/acme/one")
    listed = (await site.get("/v1/models")).json["data"][0]
    assert one.json == listed
    assert (await site.get("/v1/models/ACME/one", {"If-None-Match": one.headers["etag"]})).status == 304
    assert (await site.get("/v1/models/q/acme/one")).json["provider_slug"] == "q"
    assert (await site.get("/v1/models/acme/two:free")).json["is_free"] is True


@pytest.mark.ac("AC-2.1.7")
@pytest.mark.parametrize("model_id", ["acme/on", "acme/unpriced", "acme/vectors", "zeta/far"])
async def test_what_cannot_be_used_is_not_found(site: Site, model_id: str) -> None:
    answer = await site.get(f"/v1/models/{model_id}")
    assert (answer.status, answer.json["code"]) == (404, "model_not_found")
    assert model_id in answer.json["message"]
    assert "zeta/far" not in answer.json["near"]
    assert model_id != "acme/on" or answer.json["near"][0] == "acme/one"


async def test_anthropic_clients_get_their_own_list_newest_first(site: Site) -> None:
    version = {"anthropic-version": "2023-06-01"}
    answer = (await site.get("/v1/models", version)).json
    assert [entry["id"] for entry in answer["data"]] == ["acme/one", "acme/two", "acme/two:free"]
    assert (answer["has_more"], answer["first_id"], answer["last_id"]) == (False, "acme/one", "acme/two:free")
    assert answer["data"][0] == {
        "type": "model",
        "id": "acme/one",
        "display_name": "One",
        "created_at": "1970-01-01T00:00:03.000000Z",
        "lifecycle": "active",
        "retires_at": None,
        "max_input_tokens": 8000,
        "max_tokens": 1000,
    }
    two = (await site.get("/v1/models/acme/two", version)).json
    assert two == answer["data"][1]
    assert (two["lifecycle"], two["retires_at"]) == ("deprecated", "2026-12-31T00:00:00.000000Z")
    assert (await site.get("/v1/models/acme/two")).json["shutdown_date"] == "2026-12-31"


async def test_the_official_types_accept_every_entry() -> None:
    slugs = frozenset({"openai", "anthropic", "openrouter", "mistral", "bedrock"})
    site = Site(AHouse(AKeeper(seeded_catalog()), SomeProviders(slugs)))
    theirs = await site.get("/v1/models", {"anthropic-version": "2023-06-01"}, limit=1000)
    for entry in theirs.json["data"]:
        assert ModelInfo.model_validate(entry).lifecycle in ("active", "deprecated")
    for entry in (await site.get("/v1/models")).json["data"]:
        assert OpenAIModel.model_validate(entry).id == entry["id"]


async def test_anthropic_pages_forward_and_back(site: Site) -> None:
    version = {"anthropic-version": "2023-06-01"}
    first = (await site.get("/v1/models", version, limit=2)).json
    assert (first["last_id"], first["has_more"]) == ("acme/two", True)
    rest = (await site.get("/v1/models", version, limit=2, after_id="acme/two")).json
    assert ([entry["id"] for entry in rest["data"]], rest["has_more"]) == (["acme/two:free"], False)
    back = (await site.get("/v1/models", version, limit=1, before_id="acme/two:free")).json
    assert ([entry["id"] for entry in back["data"]], back["has_more"]) == (["acme/two"], True)
    none = (await site.get("/v1/models", version, after_id="acme/two:free")).json
    assert (none["data"], none["first_id"]) == ([], None)
    assert (await site.get("/v1/models", version, after_id="gone")).status == 400


async def test_a_limit_out_of_range_is_refused(site: Site) -> None:
    assert (await site.get("/v1/models", limit=0)).status == 422
    assert (await site.get("/v1/models", offset=-1)).status == 422
