"""What was consumed? The provider's word if it gave one; otherwise the gateway counts and says so."""

from msgspec.structs import replace

from gatewayz.core.usage import NOTHING, Usage

# The same rule of thumb as for prompts, see `dialects/tokens.py`.
CHARS_PER_TOKEN = 4


def settled_usage(reported: Usage | None, prompt_estimate: int, output_chars: int) -> Usage:
    """The usage to charge: as reported, else estimated from the prompt and the characters of the answer.

    A report of nothing at all beside an answer with text is silence, too: some providers send zeros when they do not know.
    """
    if reported is not None and (reported.total_tokens > 0 or output_chars == 0):
        return reported
    if output_chars == 0:
        return NOTHING
    return Usage(prompt_estimate, -(-output_chars // CHARS_PER_TOKEN), estimated=True)


def partial_usage(reported: Usage | None, prompt_estimate: int, output_chars: int) -> Usage:
    """The usage of an answer that the client did not wait for: the prompt, and what had been produced until then.

    Providers report usage at the end, so at best the prompt is known; the output is counted.
    """
    counted = -(-output_chars // CHARS_PER_TOKEN)
    if reported is None:
        return Usage(prompt_estimate, counted, estimated=True)
    return replace(reported, completion_tokens=max(reported.completion_tokens, counted), estimated=True)
