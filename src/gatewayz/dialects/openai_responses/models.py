"""Which models of the Responses API encrypt their reasoning? Told by their names, for the API does not say.

A model that does not refuses to be asked for it; one that does forgets its reasoning between two turns unless it is asked
for, since nothing is stored with the provider.
"""

import re

_ENCRYPTS = re.compile(r"(?:^|[/_.])(?:o[1-9](?:-|$)|gpt-[5-9](?!.*chat)|codex-|grok-[4-9])", re.IGNORECASE)


def encrypts_reasoning(native_id: str) -> bool:
    """Whether the model may be asked for `reasoning.encrypted_content`."""
    return _ENCRYPTS.search(native_id) is not None and "non-reasoning" not in native_id
