"""Clients of Vertex AI change their base URL: Google's SDK with a key or with credentials of its own, and plain REST."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance import media_house, spine
from tests.acceptance.media_house import COHERE, EMBED, EMBED_PER_MTOK, GEMINI, VOYAGE, paid
from tests.fakes.handle import FakeUpstream
from tests.live import Customer

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the SDK's own modules, while they are imported
    from google import genai
    from google.genai import errors, types
    from google.oauth2.credentials import Credentials

HI: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello!"}]}]}
PROJECT = "/v1beta1/projects/my-project/locations/europe-west1"
EXPRESS = "/v1beta1"


@pytest.fixture
def upstream() -> FakeUpstream:
    upstream = spine.shared().upstream
    upstream.reset()
    return upstream


@pytest.fixture
def customer(upstream: FakeUpstream) -> Customer:
    return spine.shared().gateway.customer(5)


def with_key(customer: Customer) -> genai.Client:
    options = types.HttpOptions(base_url=customer.gateway.base_url)
    return genai.Client(vertexai=True, api_key=customer.key, http_options=options)


def with_credentials(customer: Customer) -> genai.Client:
    options = types.HttpOptions(base_url=customer.gateway.base_url)
    own = Credentials(token=customer.key)  # type: ignore[no-untyped-call]
    return genai.Client(
        vertexai=True, project="my-project", location="europe-west1", credentials=own, http_options=options
    )


CLIENTS = pytest.mark.parametrize("connect", [with_key, with_credentials])
Connect = Callable[[Customer], genai.Client]


@pytest.fixture
def client(customer: Customer, connect: Connect) -> Iterator[genai.Client]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = connect(customer)
    yield made
    made.close()


@CLIENTS
@pytest.mark.parametrize("model", [spine.CHAT, spine.MESSAGES])
def test_googles_sdk_in_vertex_mode_reaches_any_model(
    client: genai.Client, customer: Customer, upstream: FakeUpstream, model: str
) -> None:
    answer = client.models.generate_content(model=model, contents="Hello!")
    assert (answer.text or "").startswith("Hello from")
    text = "".join(part.text or "" for part in client.models.generate_content_stream(model=model, contents="Hello!"))
    assert text == answer.text
    counted = client.models.count_tokens(model=model, contents="Hello!")
    assert counted.total_tokens
    assert len(spine.ledger(customer)) == 2
    record = customer.call("GET", "/user/activity/log").json()["data"][0]
    assert record["endpoint"] == "/v1beta1/publishers/{publisher}/models/{model}:streamGenerateContent"
    assert record["model"] == model


@CLIENTS
def test_a_bare_name_is_the_model_that_it_names_everywhere(client: genai.Client, upstream: FakeUpstream) -> None:
    answer = client.models.generate_content(model="gpt-4o", contents="Hello!")  # the SDK says publishers/google
    assert answer.text == "Hello from openai"


@CLIENTS
def test_errors_are_googles(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="acme/nothing", contents="Hello!")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


@pytest.mark.parametrize("connect", [with_key, with_credentials])
@pytest.mark.parametrize("model", [EMBED, COHERE, GEMINI, VOYAGE])
def test_the_sdk_gets_vectors_of_every_provider(connect: Connect, model: str) -> None:
    customer = media_house.shared().gateway.customer(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client = connect(customer)
    wanted = types.EmbedContentConfig(task_type="RETRIEVAL_DOCUMENT", output_dimensionality=8)
    for contents in (["one", "two"], ["one"]):
        found = client.models.embed_content(model=model, contents=contents, config=wanted)
        assert [len(each.values or []) for each in found.embeddings or []] == [2] * len(contents)
    client.close()
    assert len(paid(customer)) == 2 and min(paid(customer)) > 0


@pytest.mark.parametrize("before", [PROJECT, EXPRESS, PROJECT.replace("v1beta1", "v1")])
@pytest.mark.parametrize("way", ["bearer", "x-goog-api-key", "query"])
def test_a_key_may_come_in_three_ways(customer: Customer, before: str, way: str) -> None:
    path = f"{before}/publishers/acme/models/chat:generateContent" + (f"?key={customer.key}" if way == "query" else "")
    headers = {"x-goog-api-key": customer.key} if way == "x-goog-api-key" else {}
    answer = customer.gateway.call("POST", path, HI, key=customer.key if way == "bearer" else None, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["candidates"][0]["content"]["parts"][0]["text"] == "Hello from first"


def test_predict_charges_what_was_counted_and_tells_it(customer: Customer) -> None:
    customer = media_house.shared().gateway.customer(5)
    media_house.shared().upstream.script("first", {"usage": {"prompt": 1234}})
    vendor, _, name = EMBED.partition("/")
    path = f"{PROJECT}/publishers/{vendor}/models/{name}:predict"
    body = {
        "instances": [{"content": "one", "task_type": "RETRIEVAL_QUERY"}],
        "parameters": {"outputDimensionality": 8},
    }
    answer = customer.call("POST", path, body)
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["predictions"]
    assert prediction["embeddings"]["values"] == [0.5, -0.25]
    assert prediction["embeddings"]["statistics"] == {"token_count": 1234, "truncated": False}
    assert answer.json()["metadata"]["billableCharacterCount"] == 3
    assert paid(customer) == [1234 * EMBED_PER_MTOK // 10**6]


@pytest.mark.parametrize(
    ("method", "body", "param"),
    [
        ("predict", {}, "instances"),
        ("predict", {"instances": []}, "instances"),
        ("predict", {"instances": {}}, "instances"),
        ("predict", {"instances": [1]}, "instances"),
        ("predict", {"instances": [{"prompt": "a cat"}]}, "instances[0].prompt"),
        ("predict", {"instances": [{"content": ""}]}, "instances[0].content"),
        ("predict", {"instances": [{"content": "a", "title": "t"}]}, "instances[0].title"),
        ("predict", {"instances": [{"content": "a", "task_type": "X"}, {"content": "b"}]}, "instances"),
        ("predict", {"instances": [{"content": "a"}], "parameters": 7}, "parameters"),
        ("predict", {"instances": [{"content": "a"}], "parameters": {"autoTruncate": False}}, "parameters.autoTruncate"),
        ("predict", {"instances": [{"content": "a"}], "parameters": {"outputDimensionality": 0}},
         "parameters.outputDimensionality"),
        ("embedContent", {"content": {"parts": [{"text": "a"}]}, "embedContentConfig": {"documentOcr": True}},
         "embedContentConfig.documentOcr"),
        ("embedContent", {"content": {"parts": [{"text": "a"}]}, "embedContentConfig": 1}, "embedContentConfig"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_named_and_costs_nothing(method: str, body: dict[str, Any], param: str) -> None:
    customer = media_house.shared().gateway.customer(5)
    vendor, _, name = EMBED.partition("/")
    answer = customer.call("POST", f"{EXPRESS}/publishers/{vendor}/models/{name}:{method}", body)
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (400, "INVALID_ARGUMENT"), answer.text
    assert error["param"].startswith(param)
    assert paid(customer) == []


def test_other_methods_and_strangers_are_refused_in_googles_words(customer: Customer) -> None:
    path = f"{PROJECT}/publishers/acme/models/chat"
    answer = customer.call("POST", f"{path}:rawPredict", HI)
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
    answer = customer.gateway.call("POST", f"{path}:generateContent", HI)
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
