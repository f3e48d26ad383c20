"""A steady load on a live gateway, and what became of each request."""

import asyncio
from dataclasses import dataclass, field

import httpx2 as httpx

from tests.acceptance.spine import chat_body, events
from tests.live import Customer


@dataclass
class Outcome:
    """How many requests ended completely, and what was said by those that did not."""

    complete: int = 0
    broken_off: int = 0  # streams that had begun, told so by an error event
    wrong: list[str] = field(default_factory=list)
    served: set[str] = field(default_factory=set)


async def steady(customer: Customer, model: str, *, requests: int, over_s: float) -> Outcome:
    """Sends so many requests evenly over so many seconds, every other one streamed; each once, without retries."""
    outcome = Outcome()
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {customer.key}"}
    url = f"{customer.gateway.base_url}/v1/chat/completions"
    async with httpx.AsyncClient(headers=headers, timeout=20, limits=limits, verify=False) as client:

        async def one(number: int) -> None:
            await asyncio.sleep(number * over_s / requests)
            stream = number % 2 == 1
            try:
                answer = await client.post(url, json=chat_body(model, stream=stream))
            except httpx.TransportError as error:
                outcome.wrong.append(f"{number}: {type(error).__name__}")
                return
            _note(outcome, answer, stream)

        await asyncio.gather(*(one(number) for number in range(requests)))
    return outcome


def _note(outcome: Outcome, answer: httpx.Response, stream: bool) -> None:
    if answer.status_code != 200:
        outcome.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
    elif not stream:
        outcome.complete += 1
        outcome.served.add(answer.json()["choices"][0]["message"]["content"])
    else:
        *chunks, last = [each.data for each in events(answer.text)]
        if last != "[DONE]":
            outcome.wrong.append("a stream without terminator")
        elif any(chunk.get("error") for chunk in chunks):
            began = any(chunk.get("choices") for chunk in chunks)
            outcome.broken_off += began
            if not began:
                outcome.wrong.append(answer.text[:200])
        else:
            outcome.complete += 1
            outcome.served.add("".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks))
