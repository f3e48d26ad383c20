"""LangChain, by its OpenAI and its Anthropic package."""

import os
import sys

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

url, key, model = os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"], os.environ["MODEL"]
question = HumanMessage("When is high water in Ostend?")
models = {
    "openai": lambda: ChatOpenAI(model=model, base_url=f"{url}/v1", api_key=key, max_retries=0, stream_usage=True),
    "anthropic": lambda: ChatAnthropic(model=model, base_url=url, api_key=key, max_retries=0, max_tokens=200),
}


@tool
def tide(place: str) -> str:
    """Time of high water."""
    assert place == "Ostend", place
    return "Ostend 07:42"


def chat(chosen) -> str:
    answer = chosen.invoke([question])
    assert answer.usage_metadata["total_tokens"] == 15, answer.usage_metadata
    return answer.text


def stream(chosen) -> str:
    pieces = list(chosen.stream([question]))
    assert len([piece for piece in pieces if piece.text]) > 1, pieces
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    # The tokens of the prompt are read from `message_delta` alone, where older servers of messages do not repeat them.
    assert whole.usage_metadata["output_tokens"] == 5, whole.usage_metadata
    return whole.text


def tools(chosen) -> str:
    able = chosen.bind_tools([tide])
    first = able.invoke([question])
    results = [tide.invoke(call) for call in first.tool_calls]
    return able.invoke([question, first, *results]).text


surface, _, step = sys.argv[1].partition("_")
print(globals()[step](models[surface]()))
