"""Pydantic AI, by chats, by the Responses API and by messages."""

import asyncio
import os
import sys

from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

url, key, model = os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"], os.environ["MODEL"]
question = "When is high water in Ostend?"
models = {
    "openai": lambda: OpenAIChatModel(model, provider=OpenAIProvider(base_url=f"{url}/v1", api_key=key)),
    "responses": lambda: OpenAIResponsesModel(model, provider=OpenAIProvider(base_url=f"{url}/v1", api_key=key)),
    "anthropic": lambda: AnthropicModel(model, provider=AnthropicProvider(base_url=url, api_key=key)),
}


def chat(agent: Agent) -> str:
    return agent.run_sync(question).output


def stream(agent: Agent) -> str:
    async def run() -> list[str]:
        async with agent.run_stream(question) as answer:
            return [piece async for piece in answer.stream_text(delta=True, debounce_by=None)]

    pieces = asyncio.run(run())
    assert len(pieces) > 1, pieces
    return "".join(pieces)


def tools(agent: Agent) -> str:
    @agent.tool_plain
    def tide(place: str) -> str:
        """Time of high water."""
        assert place == "Ostend", place
        return "Ostend 07:42"

    return agent.run_sync(question).output


surface, _, step = sys.argv[1].partition("_")
print(globals()[step](Agent(models[surface]())))
