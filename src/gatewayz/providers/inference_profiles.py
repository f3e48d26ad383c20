"""Under which name does a region of Bedrock serve a model? The catalog has plain names; many models need an area before them.

AWS serves newer models through *inference profiles* only: `eu.anthropic.claude-…` is served by any region of the EU that has
room, and nowhere else. The rule:

- A name that has an area already, an address of a resource (`arn:`), or a name of one's own stays as it is.
- A model that is called by its plain name in its regions stays as it is: most open-weight models, Titan, older ones.
- For the others the area of the region is put before the name. `global.`, which may be served anywhere in the world, is never
  chosen here: who wants it writes it into an offer of the configuration.
- Where a model has no profile in the region's area its plain name is tried; Bedrock then says that it is not there.
"""

import re
from collections.abc import Callable

from gatewayz.dialects.bedrock.family import Family, family_of, plain_id

_NAME_AT_MAKER = re.compile(r"[a-z0-9-]+\.[\w.:-]+")
_EUROPE = re.compile(r"eu-(?!west-2$|central-2$)")  # London and Zurich are not of the EU
_US_ONLY = re.compile(r"meta\.llama(?:3-[123]|4)-|deepseek\.r1-|writer\.palmyra-|amazon\.nova-premier")
_SMALL_LLAMA = re.compile(r"meta\.llama3-2-[13]b-")


def name_in(native_id: str, region: str) -> str:
    """The name by which a model is called in a region; see the module."""
    if plain_id(native_id) != native_id or not _NAME_AT_MAKER.fullmatch(native_id):
        return native_id
    family = family_of(native_id)
    found = next((areas(family, region) for needs, areas in _RULES if needs(family)), None)
    return f"{found}.{native_id}" if found is not None else native_id


def _of_claude(family: Family, region: str) -> str | None:
    area = _area_of(region)
    if area != "apac":
        return area
    if family.claude < (4, 5):
        return area
    # From 4.5 on Asia has no profile of its own: Japan and Australia have, others are served from anywhere or not at all.
    if region in ("ap-northeast-1", "ap-northeast-3"):
        return "jp"
    return "au" if region in ("ap-southeast-2", "ap-southeast-4") else None


def _of_the_us(family: Family, region: str) -> str | None:
    area = _area_of(region)
    return area if area == "us" or (area == "eu" and _SMALL_LLAMA.match(family.name)) else None


def _of_nova(family: Family, region: str) -> str | None:
    area = _area_of(region)
    return None if area == "us-gov" else area


def _area_of(region: str) -> str | None:
    if region.startswith("us-gov-"):
        return "us-gov"
    if _EUROPE.match(region):
        return "eu"
    return {"us": "us", "ap": "apac"}.get(region.partition("-")[0])


def _is_newer_claude(family: Family) -> bool:
    return family.claude >= (3, 5) and not family.name.startswith("anthropic.claude-3-5-sonnet-20240620")


# Which models need an area, and which one it is in a region.
_RULES: tuple[tuple[Callable[[Family], bool], Callable[[Family, str], str | None]], ...] = (
    (_is_newer_claude, _of_claude),
    (lambda family: _US_ONLY.match(family.name) is not None, _of_the_us),
    (lambda family: family.is_nova and "sonic" not in family.name, _of_nova),
)
