"""Every profile x every service that it answers by jobs, at its own addresses, signed with its own credential.

All are taken from `load_profiles`: one that is new is tried here, or fails here.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from gatewayz.dialects import JOB_DIALECTS
from gatewayz.providers.profile import Profile, load_profiles
from tests.acceptance.media_house import form
from tests.acceptance.spine import eventually
from tests.conformance.front import Front, fresh_front, key_of, switched_on
from tests.conformance.house import SETTINGS, toml
from tests.conformance.profile_table import JOBS
from tests.fakes.handle import FakeUpstream
from tests.live import Customer

PROFILES = {
    slug: profile
    for slug, profile in load_profiles().items()
    if any(rule.dialect in JOB_DIALECTS for rule in profile.ways.values())
}
SERVICES = [(slug, service) for slug, profile in PROFILES.items() for service, rule in profile.ways.items()
            if rule.dialect in JOB_DIALECTS]  # fmt: skip
# A model of each that is asked by a job (Wan 2.5 and before), and one that takes pictures; where it is submitted.
MODELS = {
    "fal": ("fal-ai/native", "fal-ai/native/edit", "https://queue.fal.run/{model}"),
    "replicate": ("acme/native", "google/nano-banana", "https://api.replicate.com/v1/predictions"),
    "alibaba-cloud": (
        "wan2.2-t2i-flash",
        "qwen-image-edit",
        "https://dashscope-intl.aliyuncs.com/api/v1/services/aigc/{endpoint}",
    ),
}
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(64)
PRICE_USD = 0.03
EACH = pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))


def test_every_profile_with_jobs_is_tried() -> None:
    assert MODELS.keys() == PROFILES.keys()
    spoken = {rule.dialect for profile in PROFILES.values() for rule in profile.ways.values()}
    assert JOB_DIALECTS.keys() <= spoken
    checks = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert JOBS.keys() <= checks, "the page tells of what is tried here"


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeUpstream]:
    """The fake upstream, which plays every host."""
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def front(fake: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway with these profiles switched on."""
    config = toml("[settings]", **SETTINGS)
    for slug, (plain, editing, _) in MODELS.items():
        for name, native in (("image", plain), ("edit", editing)):
            config += toml("[[models]]", id=f"{slug}/{name}", name=slug, kind="image")
            config += toml("[[models.offers]]", provider=slug, native_id=native, price_image_usd=PRICE_USD)
    env = {name: value for profile in PROFILES.values() for name, value in switched_on(profile).items()}
    with fresh_front(tmp_path_factory.mktemp("jobs"), fake, config, env) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(fake: FakeUpstream) -> None:
    fake.reset()


@pytest.fixture
def customer(front: Front) -> Customer:
    """An account that can pay."""
    return front.customer(1)


def host_of(profile: Profile) -> str:
    return urlsplit(MODELS[profile.slug][2]).netloc


def ask(front: Front, customer: Customer, profile: Profile, **script: Any) -> httpx.Response:
    front.fake.script(host_of(profile), script)
    return customer.call("POST", "/v1/images/generations", {"model": f"{profile.slug}/image", "prompt": "a cat"})


def charges(customer: Customer) -> list[float]:
    return [row["amount_usd"] for row in customer.transactions() if row["type"] == "api_usage"]


def signature(profile: Profile) -> str:
    return f"{profile.auth_scheme} {key_of(profile)}"


@EACH
def test_done(front: Front, customer: Customer, profile: Profile) -> None:
    native, _, url = MODELS[profile.slug]
    answer = ask(front, customer, profile, polls=2)
    assert answer.json()["data"] == [{"url": "https://pictures.example/0.png"}], answer.text
    expected = url.replace("{model}", native).replace("{endpoint}", "text2image/image-synthesis")
    journal = front.fake.journal(host_of(profile))
    assert f"https://{host_of(profile)}" + journal[0]["path"].removeprefix(f"/p/{host_of(profile)}") == expected
    assert len(journal) > 2 and {entry["headers"]["authorization"] for entry in journal} == {signature(profile)}
    assert charges(customer) == [pytest.approx(-PRICE_USD)]


@EACH
def test_failed(front: Front, customer: Customer, profile: Profile) -> None:
    answer = ask(front, customer, profile, job_error="CUDA out of memory")
    assert answer.status_code == 502 and key_of(profile) not in answer.text
    assert not charges(customer)


@EACH
def test_cancelled(front: Front, customer: Customer, profile: Profile) -> None:
    front.fake.script(host_of(profile), {"polls": 1000})
    body = {"model": f"{profile.slug}/image", "prompt": "a cat"}
    with pytest.raises(httpx.TimeoutException):
        httpx.post(
            front.base_url + "/v1/images/generations", json=body, headers={"Authorization": f"Bearer {customer.key}"},
            timeout=1, verify=False,
        )  # fmt: skip

    def last() -> Any:
        ends = [each for each in front.fake.journal(host_of(profile)) if each["path"].endswith("/cancel")]
        return ends[-1] if ends and ends[-1]["done"] else None

    assert eventually(last, "the job is cancelled", 20)["headers"]["authorization"] == signature(profile)
    assert not charges(customer)


@EACH
@pytest.mark.parametrize(("status", "told"), [(400, 400), (401, 503), (429, 429), (500, 502)])
def test_refused(front: Front, customer: Customer, profile: Profile, status: int, told: int) -> None:
    """Whose fault it is decides what the client is told: its own mistakes, never those of the operator's account."""
    answer = ask(front, customer, profile, status=status)
    assert answer.status_code == told and key_of(profile) not in answer.text
    assert not charges(customer)


@pytest.mark.parametrize(("slug", "service"), [each for each in SERVICES if each[1] != "image_generations"])
def test_edits(front: Front, customer: Customer, slug: str, service: str) -> None:
    assert service == "image_edits"
    sent, headers = form({"model": f"{slug}/edit", "image": PICTURE, "prompt": "a hat"}, "cat.png")
    answer = customer.call("POST", "/v1/images/edits", sent, **headers)
    assert answer.json()["data"] == [{"url": "https://pictures.example/0.png"}], answer.text
    first = front.fake.journal(host_of(PROFILES[slug]))[0]
    assert "data:image/png;base64," in str(first["body"])
    assert charges(customer) == [pytest.approx(-PRICE_USD)]
