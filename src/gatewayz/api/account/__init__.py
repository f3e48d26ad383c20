"""Pages of the account that calls: its keys, profile, limits and usage."""
