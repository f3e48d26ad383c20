"""The official Anthropic client for Python."""

import os
import sys

import anthropic

client = anthropic.Anthropic(base_url=os.environ["GATEWAY_URL"], api_key=os.environ["GATEWAY_KEY"], max_retries=0)
question = {"role": "user", "content": "When is high water in Ostend?"}
common = {"model": os.environ["MODEL"], "max_tokens": 200}
schema = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}


def chat() -> str:
    answer = client.messages.create(messages=[question], **common)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 5), answer.usage
    return answer.content[0].text


def stream() -> str:
    with client.messages.stream(messages=[question], **common) as events:
        pieces = list(events.text_stream)
        assert events.get_final_message().usage.output_tokens == 5
    assert len(pieces) > 1, pieces
    return "".join(pieces)


def tools() -> str:
    offered = [{"name": "tide", "description": "Time of high water.", "input_schema": schema}]
    with client.messages.stream(messages=[question], tools=offered, **common) as events:
        first = events.get_final_message()
    assert first.stop_reason == "tool_use", first
    call = next(block for block in first.content if block.type == "tool_use")
    assert call.input == {"place": "Ostend"}, call
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Ostend 07:42"}
    told = [question, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    return client.messages.create(messages=told, tools=offered, **common).content[0].text


print(globals()[sys.argv[1]]())
