"""Images from providers that answer with a job: asked about until it is done, cancelled when nobody waits, charged once."""

import base64
import contextlib
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest

from tests.acceptance import spine
from tests.acceptance.media_house import form, paid
from tests.acceptance.spine import error_of, eventually, ledger, openai_client, provider_toml
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway, fresh_home

PATH = "/v1/images/generations"
FAL, REPLICATE, WAN, QWEN = "acme/fal", "acme/replicate", "acme/wan", "acme/qwen"  # each, then first
KONTEXT = "acme/kontext"  # fal alone
UNPRICED = "acme/unpriced"  # replicate, by the second of computing
NANO = 30_000_000
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8  # what the fake gives for one
_OFFERS = {
    FAL: (("fal", "fal-ai/native"), ("first", "native-first")),
    REPLICATE: (("replicate", "acme/native"), ("first", "native-first")),
    WAN: (("alibaba-cloud", "wan2.2-t2i-flash"), ("first", "native-first")),
    QWEN: (("alibaba-cloud", "qwen-image-plus"), ("first", "native-first")),
    KONTEXT: (("fal", "fal-ai/flux-pro/kontext"),),
}
PERSONA = {FAL: "fal", REPLICATE: "replicate", WAN: "alibaba-cloud"}
SUBMITTED = {
    FAL: "/p/fal/fal-ai/native",
    REPLICATE: "/p/replicate/v1/predictions",
    WAN: "/p/alibaba-cloud/api/v1/services/aigc/text2image/image-synthesis",
}
BY_JOB = pytest.mark.parametrize("model", SUBMITTED)


def _config(upstream: FakeUpstream) -> str:
    settings = {"rate_limit_retries": 1, "plain_answer_timeout_s": 5, "request_deadline_s": 15, "trial_credit_usd": 0}
    texts = [spine.settings_toml(**settings, ssrf_allow_hosts=["127.0.0.1"])]
    for slug, path in (("fal", ""), ("replicate", "/v1"), ("alibaba-cloud", "/compatible-mode/v1")):
        base = upstream.url(slug, path)
        texts.append(f'[[providers]]\nslug = "{slug}"\nbase_url = "{base}"\napi_key = "sk-{slug}"\npriority = 1\n')
    texts.append(provider_toml(upstream, "first", priority=2))
    for model, offers in _OFFERS.items():
        texts.append(f'[[models]]\nid = "{model}"\nname = "{model}"\nkind = "image"\n')
        for provider, native in offers:
            texts.append(
                f'[[models.offers]]\nprovider = "{provider}"\nnative_id = "{native}"\nprice_image_usd = 0.03\n'
            )
    texts.append(f'[[models]]\nid = "{UNPRICED}"\nname = "x"\nkind = "image"\n')
    texts.append('[[models.offers]]\nprovider = "replicate"\nnative_id = "acme/slow"\n')
    return "\n".join(texts)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """All providers."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream) -> Iterator[LiveGateway]:
    """A gateway in front of them that waits five seconds for an answer."""
    home = fresh_home()
    with LiveGateway(home, _config(upstream)) as running:
        yield running
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(autouse=True)
def _fresh(upstream: FakeUpstream) -> None:
    upstream.reset()


@pytest.fixture
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(5)


def ask(customer: Customer, model: str, **more: Any) -> httpx.Response:
    return customer.call("POST", PATH, {"model": model, "prompt": "a cat", **more})


def asked(upstream: FakeUpstream, model: str) -> list[str]:
    """What a provider was asked, in order: methods with the end of the path."""
    return [
        f"{entry['method']} {entry['path'].rsplit('/', 1)[-1].split('-')[0]}"
        for entry in upstream.journal(PERSONA[model])
    ]


def submissions(upstream: FakeUpstream, model: str) -> list[dict[str, Any]]:
    return [entry for entry in upstream.journal(PERSONA[model]) if entry["path"] == SUBMITTED[model]]


def cancelled(upstream: FakeUpstream, model: str) -> list[str]:
    return [entry["method"] for entry in upstream.journal(PERSONA[model]) if entry["path"].endswith("/cancel")]


@BY_JOB
@pytest.mark.ac("AC-CC.6.1", "AC-CC.6.2")
def test_a_job_is_asked_about_until_it_is_done_and_charged_once(
    upstream: FakeUpstream, customer: Customer, model: str
) -> None:
    upstream.script(PERSONA[model], {"polls": 2})
    answer = openai_client(customer).images.generate(model=model, prompt="a cat", extra_body={"seed": 7})
    assert answer.data and answer.data[0].url == "https://pictures.example/0.png" and not answer.data[0].b64_json
    journal = upstream.journal(PERSONA[model])
    assert journal[0]["path"] == SUBMITTED[model] and len(submissions(upstream, model)) == 1
    assert {entry["method"] for entry in journal[1:]} == {"GET"} and not cancelled(upstream, model)
    keys = {FAL: "Key sk-fal", REPLICATE: "Bearer sk-replicate", WAN: "Bearer sk-alibaba-cloud"}
    assert {entry["headers"]["authorization"] for entry in journal} == {keys[model]}
    assert ledger(customer) == [("api_usage", -0.03)] and paid(customer) == [NANO]


def test_what_is_said_to_each_of_them(upstream: FakeUpstream, customer: Customer) -> None:
    for model in (FAL, REPLICATE, WAN):
        assert ask(customer, model, n=2, size="1024x1024", seed=7).status_code == 200
    (fal,), (replicate,), (wan,) = (submissions(upstream, model) for model in (FAL, REPLICATE, WAN))
    assert fal["body"] == {"prompt": "a cat", "num_images": 2, "image_size": {"width": 1024, "height": 1024}, "seed": 7}
    assert fal["headers"]["x-fal-request-timeout"] == "5"
    assert replicate["body"] == {
        "version": "acme/native",
        "input": {"prompt": "a cat", "num_outputs": 2, "aspect_ratio": "1:1", "seed": 7},
    }
    assert (replicate["headers"]["prefer"], replicate["headers"]["cancel-after"]) == ("wait=5", "5s")
    assert wan["body"]["parameters"] == {"n": 2, "size": "1024*1024", "seed": 7}
    assert wan["headers"]["x-dashscope-async"] == "enable"
    assert paid(customer) == [2 * NANO] * 3


def test_dashscope_answers_at_once_for_others(upstream: FakeUpstream, customer: Customer) -> None:
    assert ask(customer, QWEN).json()["data"] == [{"url": "https://pictures.example/0.png"}]
    (entry,) = upstream.journal()
    assert entry["path"] == "/p/alibaba-cloud/api/v1/services/aigc/multimodal-generation/generation"
    assert "x-dashscope-async" not in entry["headers"]


@BY_JOB
def test_a_job_that_fails_is_made_by_the_next_provider(upstream: FakeUpstream, customer: Customer, model: str) -> None:
    upstream.script(PERSONA[model], {"polls": 1, "job_error": "CUDA out of memory"})
    assert ask(customer, model).status_code == 200
    assert len(submissions(upstream, model)) == 1 and len(upstream.journal("first")) == 1
    assert ledger(customer) == [("api_usage", -0.03)]


@BY_JOB
def test_who_leaves_takes_the_job_along(upstream: FakeUpstream, customer: Customer, model: str) -> None:
    upstream.script(PERSONA[model], {"polls": 1000})
    _ask_and_leave(customer, model, 1.5)
    eventually(lambda: cancelled(upstream, model), "the job is cancelled", 10)
    assert cancelled(upstream, model) == ["PUT" if model == FAL else "POST"]
    assert not upstream.journal("first")
    assert not ledger(customer)


def test_who_leaves_before_the_job_has_a_name(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("fal", {"delay_s": 2, "polls": 1000})
    _ask_and_leave(customer, FAL, 0.7)
    eventually(lambda: cancelled(upstream, FAL), "the job is cancelled", 10)
    assert len(submissions(upstream, FAL)) == 1 and not submissions(upstream, FAL)[0]["closed_early"]
    assert not ledger(customer)


def _ask_and_leave(customer: Customer, model: str, after_s: float) -> None:
    asking = {"model": model, "prompt": "a cat"}
    headers = {"Authorization": f"Bearer {customer.key}"}
    with pytest.raises(httpx.TimeoutException):
        httpx.post(customer.gateway.base_url + PATH, json=asking, headers=headers, timeout=after_s, verify=False)


@BY_JOB
def test_a_job_that_takes_too_long_is_cancelled_and_made_elsewhere(
    upstream: FakeUpstream, customer: Customer, model: str
) -> None:
    upstream.script(PERSONA[model], {"polls": 1000})
    began_s = time.monotonic()
    answer = ask(customer, model)
    assert answer.status_code == 200 and 4.5 < time.monotonic() - began_s < 9
    assert len(upstream.journal("first")) == 1 and len(submissions(upstream, model)) == 1
    eventually(lambda: cancelled(upstream, model), "the job is cancelled", 5)
    assert ledger(customer) == [("api_usage", -0.03)]


def test_without_another_provider_it_is_a_time_out(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("fal", {"polls": 1000})
    answer = ask(customer, FAL, provider="fal")
    assert answer.status_code == 504
    eventually(lambda: cancelled(upstream, FAL), "the job is cancelled", 5)
    assert ledger(customer) == [("hold", -0.03), ("refund", 0.03)]


@pytest.mark.parametrize(
    "base", ["https://elsewhere.example", "http://127.0.0.1:1", "http://127.0.0.1@elsewhere.example"]
)
@pytest.mark.parametrize("model", [FAL, REPLICATE])
def test_a_job_at_a_strange_host_is_a_fault(upstream: FakeUpstream, customer: Customer, model: str, base: str) -> None:
    upstream.script(PERSONA[model], {"polls": 1, "job_base": base})
    assert ask(customer, model).status_code == 200
    assert len(upstream.journal(PERSONA[model])) == 1, "nothing but the submission"
    assert len(upstream.journal("first")) == 1
    assert ledger(customer) == [("api_usage", -0.03)]


@BY_JOB
def test_a_question_that_fails_is_asked_again_and_the_job_is_not(
    upstream: FakeUpstream, customer: Customer, model: str
) -> None:
    upstream.script(PERSONA[model], {"polls": 1, "poll_statuses": [503, 429]})
    assert ask(customer, model).status_code == 200
    assert len(submissions(upstream, model)) == 1 and not upstream.journal("first")
    assert paid(customer) == [NANO]


def test_a_job_that_is_forgotten_there_is_cancelled_and_made_elsewhere(
    upstream: FakeUpstream, customer: Customer
) -> None:
    upstream.script("fal", {"polls": 1, "poll_statuses": [404]})
    assert ask(customer, FAL).status_code == 200
    assert len(upstream.journal("first")) == 1
    eventually(lambda: cancelled(upstream, FAL), "the job is cancelled", 5)


@pytest.mark.parametrize("trouble", [{"status": 500}, {"status": 0}, {"body": "{}"}, {"status": 401}])
def test_a_submission_that_fails_is_not_repeated(
    upstream: FakeUpstream, customer: Customer, trouble: dict[str, Any]
) -> None:
    ask(customer, REPLICATE)  # leaves a connection open, which might be used again
    upstream.script("replicate", trouble)
    assert ask(customer, REPLICATE).status_code == 200
    assert len(submissions(upstream, REPLICATE)) == 2 and len(upstream.journal("first")) == 1


def test_a_submission_that_was_not_accepted_is(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("fal", {"status": 429}, {})
    assert ask(customer, FAL, provider="fal").status_code == 200
    assert len(submissions(upstream, FAL)) == 2
    assert ledger(customer) == [("api_usage", -0.03)]


def test_a_refused_prompt_costs_nothing_and_goes_to_nobody_else(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script(
        "replicate", {"job_error": "NSFW content detected. Try running it again, or try a different prompt."}
    )
    answer = ask(customer, REPLICATE)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "content_policy_violation")
    assert error_of(answer)["param"] == "prompt"
    upstream.script("fal", {"flags": [True]})
    assert error_of(ask(customer, FAL))["code"] == "content_policy_violation"
    assert not upstream.journal("first") and not ledger(customer)


def test_images_that_were_withheld_are_not_charged(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("fal", {"flags": [True, False, False]})
    told = ask(customer, FAL, n=3).json()
    assert [each["url"][-5:] for each in told["data"]] == ["1.png", "2.png"]
    assert told["usage"]["cost"] == 0.06
    assert paid(customer) == [2 * NANO]


def test_the_hold_is_known_beforehand(upstream: FakeUpstream, gateway: LiveGateway, customer: Customer) -> None:
    assert gateway.customer("0.05").call("POST", PATH, {"model": FAL, "prompt": "x", "n": 2}).status_code == 402
    unpriced = ask(customer, UNPRICED)
    assert (unpriced.status_code, error_of(unpriced)["code"]) == (503, "pricing_unavailable")
    assert not upstream.journal()


@pytest.mark.parametrize("model", [FAL, REPLICATE, QWEN])
def test_bytes_are_fetched_where_only_an_address_is_given(
    upstream: FakeUpstream, customer: Customer, model: str
) -> None:
    persona = PERSONA.get(model, "alibaba-cloud")
    upstream.script(persona, {"pictures": [upstream.url("storage", "/picture/small")]})
    (made,) = ask(customer, model, response_format="b64_json").json()["data"]
    assert base64.b64decode(made["b64_json"]) == PICTURE and "url" not in made
    (fetched,) = upstream.journal("storage")
    assert not {"authorization", "x-request-id"} & fetched["headers"].keys()
    assert paid(customer) == [NANO]


@pytest.mark.parametrize(
    "address",
    [
        "https://10.1.2.3/a.png", "https://169.254.169.254/latest/meta-data", "https://[::1]/a.png",
        "https://[::ffff:10.0.0.1]/a.png", "http://93.184.216.34/a.png", "file:///etc/passwd", "https://0x0a.1/a.png",
    ],
)  # fmt: skip
def test_nothing_is_fetched_from_networks_of_our_own(upstream: FakeUpstream, customer: Customer, address: str) -> None:
    upstream.script("fal", {"pictures": [address]})
    began_s = time.monotonic()
    answer = ask(customer, FAL, provider="fal", response_format="b64_json")
    assert answer.status_code == 502 and time.monotonic() - began_s < 3
    assert ledger(customer) == [("hold", -0.03), ("refund", 0.03)]


@pytest.mark.parametrize("what", ["gone", "text", "huge"])
def test_what_is_no_picture_is_a_fault(upstream: FakeUpstream, customer: Customer, what: str) -> None:
    upstream.script("fal", {"pictures": [upstream.url("storage", f"/picture/{what}")]})
    assert ask(customer, FAL, provider="fal", response_format="b64_json").status_code == 502
    assert ledger(customer) == [("hold", -0.03), ("refund", 0.03)]


def test_an_edit_gives_its_picture_as_an_input(upstream: FakeUpstream, customer: Customer) -> None:
    sent, headers = form({"model": KONTEXT, "image": PICTURE, "prompt": "a hat", "seed": "3"}, "cat.png")
    assert customer.call("POST", "/v1/images/edits", sent, **headers).json()["data"]
    body = next(entry["body"] for entry in upstream.journal("fal") if entry["method"] == "POST")
    assert body == {
        "prompt": "a hat",
        "seed": 3,
        "image_url": "data:image/png;base64," + base64.b64encode(PICTURE).decode(),
    }
    assert paid(customer) == [NANO]


def test_what_a_model_cannot_be_told_goes_to_the_next_or_is_named(upstream: FakeUpstream, customer: Customer) -> None:
    assert ask(customer, FAL, quality="hd").status_code == 200
    assert not upstream.journal("fal")
    pinned = ask(customer, FAL, quality="hd", provider="fal")
    assert (pinned.status_code, error_of(pinned)["param"]) == (400, "quality")
    streamed = ask(customer, FAL, stream=True, provider="fal")
    assert (streamed.status_code, error_of(streamed)["param"]) == (400, "stream")


def test_a_request_that_comes_twice_makes_one_job(upstream: FakeUpstream, customer: Customer) -> None:
    for _ in range(2):
        answer = customer.call("POST", PATH, {"model": FAL, "prompt": "a cat"}, **{"X-Request-ID": "again"})
        assert answer.status_code == 200
    assert len(submissions(upstream, FAL)) == 1 and paid(customer) == [NANO]


def test_a_process_that_ends_takes_its_jobs_along(upstream: FakeUpstream) -> None:
    home = fresh_home()
    with LiveGateway(home, _config(upstream)) as ending, ThreadPoolExecutor(1) as threads:
        customer = ending.customer(5)
        upstream.script("fal", {"polls": 1000})
        waiting = threads.submit(ask, customer, FAL, provider="fal")
        eventually(lambda: len(upstream.journal("fal")) > 1, "the job is asked about", 10)
        ending.stop()
        with contextlib.suppress(httpx.HTTPError):
            assert waiting.result().status_code != 200
    assert cancelled(upstream, FAL) == ["PUT"]
    shutil.rmtree(home, ignore_errors=True)
