"""Members of a request that are for the gateway: they mean the same in every dialect and are never sent to a provider."""

GATEWAY_FIELDS = frozenset({"provider", "models", "route", "transforms", "plugins", "usage"})
