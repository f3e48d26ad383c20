"""Pages that need no key."""
