"""Which canonical model is this? From a provider's own name of a model to the id that all providers share."""

import re

from gatewayz.catalog.detection import ORGANISATION_PROVIDERS, organisation_of_name
from gatewayz.catalog.resolve import SORTING
from gatewayz.catalog.snapshot import Catalog

_ID = re.compile(r"[a-z0-9][a-z0-9._:@+-]*(?:/[a-z0-9._:@+-]+)+")
_LONGEST = 200
# Providers that list their own models by bare names: (provider, organisation).
_MAKERS = {
    provider: organisation for organisation, provider in ORGANISATION_PROVIDERS.items() if provider != "openrouter"
} | {"google-ai-studio": "google", "mistral": "mistralai"}


def canonical_id(catalog: Catalog, provider: str, native_id: str) -> str | None:
    """The id of the model behind a provider's name: as the catalog knows it, else by the form of the name.

    None for a name that no id can be made of, or that stands for a retired model.
    """
    name = native_id.lower()
    known = catalog.native.get((provider, name))
    if known is not None:
        return catalog.models[known].id
    if name.startswith("~"):
        return None  # a name that moves from model to model: its price would move, too
    if name.startswith("@"):
        name = name.partition("/")[2]  # Cloudflare's @cf/
    bare = name.rpartition("/")[2]
    if name.startswith("accounts/"):
        # Fireworks writes version dots as p: deepseek-v3p2 is deepseek-v3.2.
        bare = re.sub(r"(?<=\d)p(?=\d)", ".", bare)
        name = bare
    if "/" not in name:
        organisation = _MAKERS.get(provider) or organisation_of_name(name)
        name = f"{organisation or provider}/{name}"
    found = catalog.exact.get(name)
    if found is not None:
        return None if found.redirected_from is not None else found.model.id
    if len(name) > _LONGEST or not _ID.fullmatch(name) or name.endswith(tuple(SORTING)):
        return None
    return name
