"""A legacy completions request as the Chat Completions request that it becomes: the prompt is what the user says.

What a chat model cannot do for it is refused by name: several prompts or token ids, `echo`, `suffix`, `logprobs` in the old
form, `best_of` above `n`.
"""

from typing import Any

import msgspec

from gatewayz.dialects import json_text
from gatewayz.dialects.base import Glance
from gatewayz.dialects.openai_chat import glance as chat
from gatewayz.dialects.parameters import missing, unsupported, value_of, wrong_type

NAME = "openai_completions"
_OF_CHAT = ("messages", "tools", "functions", "tool_choice", "function_call", "response_format", "modalities", "audio")
_ONLY_HERE = ("prompt", "suffix", "echo", "best_of", "logprobs")


def glance(body: bytes) -> Glance:
    """What a completions body asks for, as a Chat Completions request. Raises InvalidRequest naming the field."""
    fields = json_text.request_members(body)
    values = {name: value_of(name, fields[name]) for name in (*_ONLY_HERE, *_OF_CHAT) if name in fields}
    for name in _OF_CHAT:
        if values.get(name) is not None:
            raise unsupported(name, "is not a parameter of completions; use /v1/chat/completions")
    _refuse(values, fields)
    message = {"role": "user", "content": _prompt(values.get("prompt"))}
    chat_fields: dict[str, Any] = {name: raw for name, raw in fields.items() if name not in _ONLY_HERE + _OF_CHAT}
    chat_fields["messages"] = [message]
    seen = chat.glance(json_text.dump(chat_fields))
    seen.body = body
    return seen


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        prompt = prompt[0]
    if isinstance(prompt, list) and prompt:
        several = all(isinstance(each, str) for each in prompt)
        what = "several prompts" if several else "token ids"
        raise unsupported("prompt", f"holds {what}; send one text in each request")
    if prompt is None or prompt == []:
        raise missing("prompt")
    if not isinstance(prompt, str):
        raise wrong_type("prompt", "a string")
    if not prompt:
        raise missing("prompt", " It is empty.")
    return prompt


def _refuse(values: dict[str, Any], fields: dict[str, msgspec.Raw]) -> None:
    if values.get("echo"):
        raise unsupported("echo", "cannot be served: chat models do not repeat the prompt")
    if values.get("suffix"):
        raise unsupported("suffix", "cannot be served: chat models do not write up to a given end")
    logprobs = values.get("logprobs")
    if logprobs is not None and logprobs is not False:
        raise unsupported("logprobs", "cannot be served in this form; use /v1/chat/completions")
    best_of = values.get("best_of")
    if best_of is not None and best_of != _n(fields):
        raise unsupported("best_of", "cannot be served: every answer that is written is given")


def _n(fields: dict[str, msgspec.Raw]) -> Any:
    n = value_of("n", fields["n"]) if "n" in fields else None
    return 1 if n is None else n
