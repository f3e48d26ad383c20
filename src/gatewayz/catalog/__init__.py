"""What is on offer? Models, who serves them at which price, and what a typed name means.

The database is the truth; `CatalogKeeper.current` is its picture in memory. Three sources write it, each its own rows:
the packaged seed, the configuration, and feeds; where they speak of the same thing, the operator's word counts.
"""

from gatewayz.catalog.config import apply_config, read_models
from gatewayz.catalog.keeper import CatalogKeeper
from gatewayz.catalog.models import CAPABILITIES, SERVED_KINDS, Model
from gatewayz.catalog.offers import Offer
from gatewayz.catalog.premium import guard, is_premium
from gatewayz.catalog.prices import PriceSnapshot, PriceTier, usd_per_token_text
from gatewayz.catalog.records import ModelRecord, OfferRecord, PriceRecord
from gatewayz.catalog.resolve import find, not_found, pin, resolve
from gatewayz.catalog.snapshot import Catalog, Resolved, build
from gatewayz.catalog.transforms import NOTHING_FORCED, ForcedParams, force_params, native_id

__all__ = [
    "CAPABILITIES",
    "NOTHING_FORCED",
    "SERVED_KINDS",
    "Catalog",
    "CatalogKeeper",
    "ForcedParams",
    "Model",
    "ModelRecord",
    "Offer",
    "OfferRecord",
    "PriceRecord",
    "PriceSnapshot",
    "PriceTier",
    "Resolved",
    "apply_config",
    "build",
    "find",
    "force_params",
    "guard",
    "is_premium",
    "native_id",
    "not_found",
    "pin",
    "read_models",
    "resolve",
    "usd_per_token_text",
]
