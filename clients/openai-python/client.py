"""The official OpenAI client for Python: chats, and the Responses API."""

import os
import sys

from openai import OpenAI

client = OpenAI(base_url=f"{os.environ['GATEWAY_URL']}/v1", api_key=os.environ["GATEWAY_KEY"], max_retries=0)
model = os.environ["MODEL"]
question = {"role": "user", "content": "When is high water in Ostend?"}
parameters = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}


def tide(arguments: str) -> str:
    assert arguments.replace(" ", "") == '{"place":"Ostend"}', arguments
    return "Ostend 07:42"


def openai_chat() -> str:
    answer = client.chat.completions.create(model=model, messages=[question])
    assert answer.usage.total_tokens == 15, answer.usage
    return answer.choices[0].message.content


def openai_stream() -> str:
    chunks = list(
        client.chat.completions.create(
            model=model, messages=[question], stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].usage.total_tokens == 15, chunks[-1]
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) > 1, pieces
    return "".join(pieces)


def openai_tools() -> str:
    offered = [{"type": "function", "function": {"name": "tide", "parameters": parameters}}]
    first = client.chat.completions.create(model=model, messages=[question], tools=offered)
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls", first
    call = message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": tide(call.function.arguments)}
    told = [question, message.model_dump(exclude_none=True), result]
    return client.chat.completions.create(model=model, messages=told, tools=offered).choices[0].message.content


def responses_chat() -> str:
    answer = client.responses.create(model=model, input=question["content"])
    assert answer.usage.total_tokens == 15, answer.usage
    return answer.output_text


def responses_stream() -> str:
    with client.responses.stream(model=model, input=question["content"]) as events:
        pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert len(pieces) > 1, pieces
        return events.get_final_response().output_text


def responses_tools() -> str:
    offered = [{"type": "function", "name": "tide", "parameters": parameters, "strict": False}]
    first = client.responses.create(model=model, input=question["content"], tools=offered)
    call = next(item for item in first.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": tide(call.arguments)}
    return client.responses.create(
        model=model, input=[result], tools=offered, previous_response_id=first.id
    ).output_text


print(globals()[sys.argv[1]]())
