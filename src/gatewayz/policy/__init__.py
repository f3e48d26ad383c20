"""May it pass? Access rules, limits and guardrails: decisions over values that others have fetched."""
