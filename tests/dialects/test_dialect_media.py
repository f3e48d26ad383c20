"""Forms, streams and recorded answers of the services beside chats."""

import base64
import itertools
import json
import struct
from typing import Any

import pytest
from dialect_samples import folder
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.core.errors import InvalidRequest
from gatewayz.core.media import EmbeddingAnswer, EmbeddingRequest, RerankAnswer, RerankRequest
from gatewayz.core.services import BY_TOKEN
from gatewayz.core.usage import Usage
from gatewayz.dialects import MEDIA_DIALECTS, PROVIDER_DIALECTS
from gatewayz.dialects.base import Quirks, Target, Voice
from gatewayz.dialects.media.forms import Part, read_form, write_form
from gatewayz.dialects.rerank.client import RERANK

VOICE = Voice("acme/model", "r-1", 1, False)
TARGET = Target("native")


def recorded(name: str) -> dict[str, Any]:
    """One recorded interaction; a loud skip without the recordings."""
    path = folder() / name
    if not path.exists():
        pytest.skip(f"NO RECORDINGS: {path} is missing; set GATEWAYZ_RECORDINGS to their folder")
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def body_of(recording: dict[str, Any]) -> bytes:
    return recording["response"]["body_text"].encode()


EMBEDDINGS = {
    "cohere/cohere-embed-basic-73715b.json": ("cohere_embed", 7),
    "gemini/gemini-embed-images-67978e.json": ("gemini_embed", 261),
    "vertex/vertex-predict-basic-c6fea1.json": ("vertex_embed", 10),
    "voyage/openai-embeddings-basic-6c3bc1.json": ("voyage_embeddings", 12),
    "mistral/openai-embeddings-basic-796e9e.json": ("openai_embeddings", 11),
    "openrouter/openai-embeddings-basic-9af57e.json": ("openai_embeddings", 7),
}


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_recorded_embeddings_are_read(name: str) -> None:
    dialect, tokens = EMBEDDINGS[name]
    answer, facts = PROVIDER_DIALECTS[dialect].read_answer(body_of(recorded(name)))
    assert isinstance(answer, EmbeddingAnswer)
    assert answer.vectors and all(isinstance(number, float) for number in answer.vectors[0])
    assert not facts.empty
    assert facts.usage is not None and facts.usage.prompt_tokens == (tokens or facts.usage.prompt_tokens)
    told = json.loads(MEDIA_DIALECTS["openai_embeddings"].write_answer(answer, VOICE, facts.usage, 5))
    assert told["data"][0]["embedding"] == pytest.approx(list(answer.vectors[0]))
    packed = Voice("m", "r", 1, False, form="base64")
    told = json.loads(MEDIA_DIALECTS["openai_embeddings"].write_answer(answer, packed, facts.usage, 5))
    size = len(answer.vectors[0])
    floats = struct.unpack(f"<{size}f", base64.b64decode(told["data"][0]["embedding"]))
    assert list(floats) == pytest.approx(list(answer.vectors[0]), rel=1e-6)


@pytest.mark.parametrize("name", [name for name, (dialect, _) in EMBEDDINGS.items() if dialect.startswith("openai")])
def test_recorded_answers_of_the_same_form_keep_all_but_name_and_cost(name: str) -> None:
    dialect = MEDIA_DIALECTS["openai_embeddings"]
    body = body_of(recorded(name))
    facts = dialect.glance_answer(body)
    assert facts.usage is not None
    told, said = json.loads(dialect.forward_answer(body, VOICE, facts.usage, 7, Quirks())), json.loads(body)
    assert (told["data"], told["model"]) == (said["data"], "acme/model")
    assert told["usage"]["cost"] == 7e-9
    assert "is_byok" not in told["usage"]


@pytest.mark.parametrize(
    ("name", "dialect", "order", "usage"),
    [
        ("cohere/cohere-rerank-basic-f9a7f0.json", "cohere_rerank", [0, 2], Usage(searches=1)),
        ("voyage/rerank-basic-6c73d6.json", "voyage_rerank", [0, 2], Usage(prompt_tokens=43)),
        ("openrouter/rerank-basic-9d1a5d.json", "jina_rerank", [1, 0], Usage(prompt_tokens=17)),
    ],
)
def test_recorded_rerankings_are_read_and_asked_as_recorded(
    name: str, dialect: str, order: list[int], usage: Usage
) -> None:
    recording = recorded(name)
    provider = PROVIDER_DIALECTS[dialect]
    answer, facts = provider.read_answer(body_of(recording))
    assert isinstance(answer, RerankAnswer)
    assert ([each.index for each in answer.results], facts.usage) == (order, usage)
    told = json.loads(RERANK.write_answer(answer, VOICE, usage, 0))
    assert [each["relevance_score"] for each in told["results"]] == [each.score for each in answer.results]
    sent = recording["request"]["body"]
    known = {"model", "query", "documents", "top_n", "top_k"}
    top = sent.get("top_n") or sent.get("top_k")
    request = RerankRequest(
        sent["query"], tuple(sent["documents"]), top, extra={k: v for k, v in sent.items() if k not in known}
    )
    assert json.loads(provider.write_request(request, Target(sent["model"]))) == sent  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("cohere/cohere-embed-basic-73715b.json", "cohere_embed"),
        ("vertex/vertex-predict-basic-c6fea1.json", "vertex_embed"),
    ],
)
def test_embeddings_are_asked_for_as_recorded(name: str, dialect: str) -> None:
    sent = recorded(name)["request"]["body"]
    texts = sent.get("texts") or [each["content"] for each in sent["instances"]]
    request = EmbeddingRequest(tuple(texts))
    model = sent.get("model", "native")
    assert json.loads(PROVIDER_DIALECTS[dialect].write_request(request, Target(model))) == sent  # type: ignore[arg-type]


def test_a_recorded_moderation_and_recorded_images() -> None:
    moderation = body_of(recorded("openai/openai-moderations-images-dc14ac.json"))
    facts = MEDIA_DIALECTS["openai_moderations"].glance_answer(moderation)
    assert (facts.empty, facts.usage, facts.upstream_id) == (False, None, "modr-1152")
    images = body_of(recorded("xai/openai-images-basic-c2baa4.json"))
    dialect = MEDIA_DIALECTS["openai_images"]
    facts = dialect.glance_answer(images)
    assert facts.usage == Usage(images=1)
    told = json.loads(dialect.forward_answer(images, VOICE, Usage(images=1), 20_000_000, Quirks()))
    assert told["usage"] == {"cost": 0.02}  # what the provider asks of us is nobody's business
    error = MEDIA_DIALECTS["openai_images"].read_error(body_of(recorded("openai/openai-images-error400-5b2c96.json")))
    assert (error.code, error.param) == ("unknown_parameter", "quality")


@pytest.mark.parametrize(
    "dialect", sorted(name for name, each in PROVIDER_DIALECTS.items() if each.service not in BY_TOKEN)
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"<html>",
        b'{"data":null}',
        b'{"embeddings":[1]}',
        b'{"error":{"message":"x"}}',
        b'{"results":[{}]}',
    ],
)
def test_what_is_no_answer_is_a_value_error(dialect: str, body: bytes) -> None:
    found = PROVIDER_DIALECTS[dialect]
    read = MEDIA_DIALECTS[dialect].glance_answer if dialect in MEDIA_DIALECTS else found.read_answer
    if dialect.startswith("openai_trans") and not body.startswith(b"{"):
        assert MEDIA_DIALECTS[dialect].glance_answer(body).usage is None  # plain text is an answer there
    elif dialect == "imagen_predict" and body == b"{}":
        assert found.read_answer(body)[1].empty  # everything was filtered
    elif dialect == "openai_moderations" and body == b'{"results":[{}]}':
        assert not MEDIA_DIALECTS[dialect].glance_answer(body).empty
    else:
        with pytest.raises(ValueError):
            read(body)
    found.read_error(body)


names = st.text(st.characters(codec="ascii", exclude_characters='"\r\n\\;'), min_size=1, max_size=20).filter(str.strip)


@given(st.lists(st.tuples(names, st.binary(max_size=400), st.booleans()), max_size=6))
def test_a_form_is_read_as_it_was_written(parts: list[tuple[str, bytes, bool]]) -> None:
    given_parts = [Part(name, data, "a.wav" if is_file else None) for name, data, is_file in parts]
    written = write_form(given_parts)
    read = read_form(written.data, written.content_type)
    assert [(each.name.strip(), bytes(each.data), each.filename) for each in read] == [
        (each.name.strip(), each.data, each.filename) for each in given_parts
    ]


def test_a_file_may_hold_what_looks_like_the_boundary() -> None:
    data = b"a\r\n--edge-of-another\r\nb--edge\r\n--edge-"
    body = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + data + b"\r\n--edge--\r\n"
    (part,) = read_form(b"preamble\r\n" + body, 'multipart/form-data; boundary="edge"')
    assert bytes(part.data) == data


@given(st.binary(max_size=300))
def test_bytes_that_are_no_form_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_form(body, "multipart/form-data; boundary=never-in-there")


STREAM = (
    b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image","b64_json":"AA=="}\n\n'
    b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"AA==",'
    b'"usage":{"input_tokens":5,"output_tokens":7,"total_tokens":12}}\n\n'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_cut_anywhere_is_the_same_and_its_end_is_held(cuts: list[int]) -> None:
    bridge = MEDIA_DIALECTS["openai_images"].forwarder(VOICE, TARGET, lambda _usage: 0)
    places = [0, *sorted(cuts), len(STREAM)]
    out = b"".join(bridge.feed(STREAM[a:b]) for a, b in itertools.pairwise(places)) + bridge.close()
    assert b"completed" not in out
    assert bridge.facts.ended
    assert bridge.facts.usage == Usage(5, 7, image_output_tokens=7, images=1)
    assert out + bridge.finish(Usage(), 0) == STREAM


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=10))
def test_a_file_comes_whole_and_its_last_bytes_wait(pieces: list[bytes]) -> None:
    voice = Voice("m", "r", 1, False, form="pcm")
    bridge = MEDIA_DIALECTS["openai_speech"].forwarder(voice, TARGET, lambda _usage: 0)
    out = b"".join(bridge.feed(each) for each in pieces) + bridge.close()
    assert len(out) < sum(map(len, pieces))
    assert out + bridge.finish(Usage(), 0) == b"".join(pieces)
    assert bridge.facts.usage == Usage(audio_output_ms=-(-sum(map(len, pieces)) // 48))


SPOKEN = b'data: {"type":"speech.audio.delta","audio":"AAAA"}\n\ndata: {"type":"speech.audio.done"}\n\n'


@pytest.mark.parametrize(("sent", "way"), [(SPOKEN, "sse pcm"), (b"dat", "pcm"), (b"RIFF....", "pcm"), (b"", "pcm")])
@given(cut=st.integers(1, 9))
def test_a_provider_may_decide_between_events_and_a_file(sent: bytes, way: str, cut: int) -> None:
    def heard(form: str) -> tuple[bytes, bytes, Any]:
        bridge = MEDIA_DIALECTS["openai_speech"].forwarder(Voice("m", "r", 1, False, form=form), TARGET, lambda _: 0)
        facts = bridge.facts
        out = b"".join(bridge.feed(sent[place : place + cut]) for place in range(0, len(sent), cut)) + bridge.close()
        return out + bridge.finish(Usage(), 0), bridge.fail(InvalidRequest("x"), "r"), (facts.ended, facts.usage)

    assert heard("either pcm") == heard(way)


# --- DashScope's own forms, as its documentation shows them ---


def test_dashscopes_reranker_is_asked_and_read_in_its_own_form() -> None:
    provider = PROVIDER_DIALECTS["dashscope_rerank"]
    documents = ("a", {"text": "b"}, {"image": "https://h/x.png"}, {"title": "c"})
    request = RerankRequest("q", documents, 2, True, extra={"instruct": "Rank.", "max_chunks": 1})
    sent = json.loads(provider.write_request(request, Target("qwen3-rerank")))  # type: ignore[arg-type]
    assert sent == {
        "model": "qwen3-rerank",
        "input": {"query": "q", "documents": ["a", "b", {"image": "https://h/x.png"}, '{"title":"c"}']},
        "parameters": {"instruct": "Rank.", "top_n": 2, "return_documents": True},
    }
    assert provider.dropped(request, TARGET) == ("max_chunks",)
    plain = json.loads(provider.write_request(RerankRequest("q", ("a",)), TARGET))  # type: ignore[arg-type]
    assert "parameters" not in plain
    body = {
        "output": {
            "results": [
                {"index": 1, "relevance_score": 0.93, "document": {"text": "b"}},
                {"index": 0, "relevance_score": 0.34, "document": {"text": "a"}},
            ]
        },
        "usage": {"total_tokens": 79},
        "request_id": "d-1",
    }
    answer, facts = provider.read_answer(json.dumps(body).encode())
    assert isinstance(answer, RerankAnswer)
    assert [(each.index, each.score, each.document) for each in answer.results] == [
        (1, 0.93, {"text": "b"}),
        (0, 0.34, {"text": "a"}),
    ]
    assert (answer.id, facts.usage, facts.empty) == ("d-1", Usage(prompt_tokens=79), False)
    with pytest.raises(InvalidRequest, match="rank_fields"):
        provider.write_request(RerankRequest("q", ("a",), extra={"rank_fields": ["x"]}), TARGET)


def test_dashscopes_embeddings_know_what_they_are_for() -> None:
    provider = PROVIDER_DIALECTS["dashscope_embed"]
    request = EmbeddingRequest(("a", "b"), 512, "search_query", extra={"instruct": "Find.", "truncate": "END"})
    assert json.loads(provider.write_request(request, Target("text-embedding-v4"))) == {  # type: ignore[arg-type]
        "model": "text-embedding-v4",
        "input": {"texts": ["a", "b"]},
        "parameters": {"output_type": "dense", "instruct": "Find.", "text_type": "query", "dimension": 512},
    }
    assert provider.dropped(request, TARGET) == ("truncate",)
    other = EmbeddingRequest(("a",), None, "clustering")
    assert "text_type" not in json.loads(provider.write_request(other, TARGET))["parameters"]  # type: ignore[arg-type]
    assert provider.dropped(other, TARGET) == ("input_type",)
    rows = [{"text_index": 1, "embedding": [2.0]}, {"text_index": 0, "embedding": [1.0]}]
    body = {"output": {"embeddings": rows}, "usage": {"total_tokens": 27}, "request_id": "d-1"}
    answer, facts = provider.read_answer(json.dumps(body).encode())
    assert isinstance(answer, EmbeddingAnswer)
    assert (answer.vectors, facts.usage) == (([1.0], [2.0]), Usage(prompt_tokens=27))
    with pytest.raises(InvalidRequest, match="token ids"):
        provider.write_request(EmbeddingRequest(((1, 2),)), TARGET)


def test_dashscopes_errors_are_read() -> None:
    body = b'{"code":"InvalidParameter","message":"batch size is invalid, it should not be larger than 10.","request_id":"r"}'
    error = PROVIDER_DIALECTS["dashscope_embed"].read_error(body)
    assert (error.code, error.message) == (
        "InvalidParameter",
        "batch size is invalid, it should not be larger than 10.",
    )
