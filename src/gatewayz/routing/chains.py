"""Who may serve whom: rules about families of models, as data."""

# Models of these vendors are served by their maker, then by OpenRouter, by nobody else that the gateway knows.
VENDOR_CHAINS: dict[str, tuple[str, ...]] = {
    "openai": ("openai", "openrouter"),
    "anthropic": ("anthropic", "openrouter"),
}
# Open-weight models that carry a vendor's name may be served by everyone who has them.
OPEN_WEIGHTS = ("openai/gpt-oss",)


def vendor_chain(model_id: str, vendor: str) -> tuple[str, ...] | None:
    """The only providers that may serve this model, None if all may."""
    if model_id.startswith(OPEN_WEIGHTS):
        return None
    return VENDOR_CHAINS.get(vendor)
