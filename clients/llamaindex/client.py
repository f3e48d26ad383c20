"""LlamaIndex, by OpenAILike: its OpenAI class accepts only names that it knows."""

import asyncio
import os
import sys

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(
    model=os.environ["MODEL"],
    api_base=f"{os.environ['GATEWAY_URL']}/v1",
    api_key=os.environ["GATEWAY_KEY"],
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=128000,
    max_retries=0,
)
question = "When is high water in Ostend?"


def chat() -> str:
    return str(llm.complete(question))


def stream() -> str:
    pieces = [part.delta for part in llm.stream_complete(question) if part.delta]
    assert len(pieces) > 1, pieces
    return "".join(pieces)


def tools() -> str:
    def tide(place: str) -> str:
        """Time of high water."""
        assert place == "Ostend", place
        return "Ostend 07:42"

    async def run() -> str:
        return str(await FunctionAgent(tools=[tide], llm=llm).run(question))

    return asyncio.run(run())


print(globals()[sys.argv[1]]())
