"""OpenAI's Agents SDK, by the Responses API and by chats."""

import asyncio
import os
import sys

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

set_tracing_disabled(True)
gateway = AsyncOpenAI(base_url=f"{os.environ['GATEWAY_URL']}/v1", api_key=os.environ["GATEWAY_KEY"], max_retries=0)
question = "When is high water in Ostend?"
models = {
    "responses": lambda: OpenAIResponsesModel(os.environ["MODEL"], gateway),
    "openai": lambda: OpenAIChatCompletionsModel(os.environ["MODEL"], gateway),
}


@function_tool
def tide(place: str) -> str:
    """Time of high water."""
    assert place == "Ostend", place
    return "Ostend 07:42"


async def chat(agent: Agent) -> str:
    return (await Runner.run(agent, question)).final_output


async def stream(agent: Agent) -> str:
    running = Runner.run_streamed(agent, question)
    pieces = [
        event.data.delta
        async for event in running.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    assert len(pieces) > 1, pieces
    return running.final_output


async def tools(agent: Agent) -> str:
    agent.tools = [tide]
    return (await Runner.run(agent, question)).final_output


surface, _, step = sys.argv[1].partition("_")
print(asyncio.run(globals()[step](Agent(name="Pilot", model=models[surface]()))))
