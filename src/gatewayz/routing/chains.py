"""Who may serve whom: rules about families of models, as data."""

# Models of these vendors are served by their maker, then by OpenRouter, by nobody else that the gateway knows.
VENDOR_CHAINS: dict[str, tuple[str, ...]] = {
    "openai": ("openai", "openrouter"),
    "anthropic": ("anthropic", "openrouter"),
}
# Clouds that have a vendor's own models. Each joins the chain where the operator's configuration names it, and only there.
VENDOR_CLOUDS: dict[str, tuple[str, ...]] = {"anthropic": ("google-vertex-anthropic",)}
# Open-weight models that carry a vendor's name may be served by everyone who has them.
OPEN_WEIGHTS = ("openai/gpt-oss",)


def vendor_chain(model_id: str, vendor: str) -> tuple[str, ...] | None:
    """The only providers that may serve this model, None if all may."""
    if model_id.startswith(OPEN_WEIGHTS):
        return None
    return VENDOR_CHAINS.get(vendor)


def is_cloud_of(vendor: str, slug: str) -> bool:
    """Whether this provider is a cloud that has the vendor's own models."""
    return slug in VENDOR_CLOUDS.get(vendor, ())
