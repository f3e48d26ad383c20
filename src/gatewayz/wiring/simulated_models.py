"""The simulated provider's models as the catalog wants them."""

from gatewayz.catalog import ModelRecord, OfferRecord, PriceRecord
from gatewayz.catalog.models import MODALITY_OF
from gatewayz.providers.config import SIMULATED_SLUG
from gatewayz.providers.simulated import SIMULATED_MODELS


def simulated_records() -> list[ModelRecord]:
    """One record per simulated model, each offered by the simulated provider at its stated price."""
    return [
        ModelRecord(
            id=model.id,
            name=model.name,
            vendor=SIMULATED_SLUG,
            kind=model.kind,
            context_length=model.context_length,
            max_output_tokens=model.max_output_tokens,
            modality=MODALITY_OF.get(model.kind)
            or ("text+image->text" if "vision" in model.capabilities else "text->text"),
            capabilities=dict.fromkeys(model.capabilities, True),
            status="active",
            offers=(
                OfferRecord(
                    provider=SIMULATED_SLUG,
                    native_id=model.native_id,
                    price=PriceRecord(
                        model.price_prompt_nano_per_mtok, model.price_completion_nano_per_mtok, units=dict(model.units)
                    ),
                    stated_by="simulated provider",
                ),
            ),
        )
        for model in SIMULATED_MODELS
    ]
