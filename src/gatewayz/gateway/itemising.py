"""What a charge is made of, for clients that want to see it in `usage`."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from gatewayz.billing.pricing import cost
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Glance
from gatewayz.gateway.trip import Trip


def itemised(trip: Trip, glance: Glance) -> Callable[[Usage], dict[str, Any]]:
    """What gives the members that say more about the charge of a usage, for a client that asks.

    From here on its stream reports its usage. The upstream's own bill is not known, so its sum is null; the parts
    are those of the charge. Credentials are the operator's, never the caller's.
    """
    glance.include_usage = True

    def members(usage: Usage) -> dict[str, Any]:
        served = trip.served_by
        if served is None or served.offer.price is None:
            return {"is_byok": False}
        whole = cost(served.offer.price, usage)
        prompt = cost(
            served.offer.price, replace(usage, completion_tokens=0, reasoning_tokens=0, audio_output_tokens=0)
        )
        details = {
            "upstream_inference_cost": None,
            "upstream_inference_prompt_cost": json_text.usd_raw(prompt),
            "upstream_inference_completions_cost": json_text.usd_raw(whole - prompt),
        }
        return {"is_byok": False, "cost_details": details}

    return members
