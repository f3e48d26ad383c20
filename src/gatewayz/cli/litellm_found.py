"""What became of a configuration of LiteLLM's: tables of ours, what they were made of, and what was left behind; as TOML."""

import json
from dataclasses import dataclass, field
from typing import Any

from gatewayz.catalog.models import MODALITY_OF
from gatewayz.cli.litellm_offers import Offer, modality_of


@dataclass(frozen=True, slots=True)
class Access:
    """Where and how a deployment is called: two deployments with the same access are at the same provider.

    `profile` is the packaged profile of that provider, None where there is none; `variable` names the environment variable
    that holds its key; `params` are added to requests that do not state them.
    """

    profile: str | None
    base_url: str | None = None
    dialect: str | None = None
    variable: str | None = None
    regions: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    priority: int | None = None
    params: tuple[tuple[str, Any], ...] = ()


@dataclass(slots=True)
class Imported:
    """What became of a file. Members are named by their path in it (`model_list[0].litellm_params.rpm`).

    `served` are names that the packaged catalog knows already, so that nothing need be stated of them. `carried` are the
    members that the result was made of, `needless` those that ask for what is done anyway, `left` those that could not be
    carried over, `notes` what is to be known of members that were; the last three with the reason or the words.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    providers: dict[str, Access] = field(default_factory=dict)
    models: dict[str, list[Offer]] = field(default_factory=dict)
    served: set[str] = field(default_factory=set)
    carried: set[str] = field(default_factory=set)
    needless: list[tuple[str, str]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def leave(self, path: str, reason: str) -> None:
        """Notes a member that is not carried over."""
        self.left.append((path, reason))

    def needs_nothing(self, path: str, reason: str) -> None:
        """Notes a member that asks for what is so anyway."""
        self.needless.append((path, reason))

    def note(self, path: str, words: str) -> None:
        """Notes what is to be known of a member that is carried over."""
        self.notes.append((path, words))


def toml(found: Imported) -> str:
    """The text of the configuration."""
    lines: list[str] = []
    if found.settings:
        lines += ["[settings]", *(f"{name} = {_value(value)}" for name, value in sorted(found.settings.items())), ""]
    for slug, access in found.providers.items():
        lines += [*_provider(slug, access), ""]
    for name, offers in found.models.items():
        lines += [*_model(name, offers), ""]
    return "\n".join(lines)


def _provider(slug: str, access: Access) -> list[str]:
    other = access.profile if access.profile != slug else None
    stated: tuple[tuple[str, Any], ...] = (
        ("slug", slug),
        ("profile", other),
        ("base_url", access.base_url),
        ("dialect", access.dialect),
        ("api_key_env", access.variable),
        ("priority", access.priority),
        ("regions", list(access.regions) or None),
        ("headers", dict(access.headers) or None),
        ("quirks", {"add_params": dict(access.params)} if access.params else None),
    )
    return ["[[providers]]", *(f"{name} = {_value(value)}" for name, value in stated if value is not None)]


def _model(name: str, offers: list[Offer]) -> list[str]:
    first = offers[0]
    lines = ["[[models]]", f"id = {_value(name)}", f"name = {_value(name)}"]
    if first.kind != "chat":
        lines.append(f"kind = {_value(first.kind)}")
    lines.append(f"modality = {_value(MODALITY_OF.get(first.kind) or modality_of(first.abilities))}")
    lines += [f"{member} = {_value(value)}" for member, value in {**first.limits, **first.abilities}.items()]
    for offer in offers:
        lines += ["[[models.offers]]", f"provider = {_value(offer.provider)}", f"native_id = {_value(offer.native_id)}"]
        lines += [f"{member} = {value}" for member, value in offer.prices.items()]
        if offer.variants:
            variants = ", ".join(f"{_value(each)} = {price}" for each, price in offer.variants.items())
            lines.append(f"price_image_variants_usd = {{ {variants} }}")
    return lines


def _value(value: Any) -> str:
    """A text, number, truth value, list or table as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_value(each)}" for name, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return json.dumps(value)
