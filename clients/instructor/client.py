"""Instructor: answers as objects, by a tool that the model has to call and by a JSON schema."""

import os
import sys

import instructor
from openai import OpenAI
from pydantic import BaseModel

plain = OpenAI(base_url=f"{os.environ['GATEWAY_URL']}/v1", api_key=os.environ["GATEWAY_KEY"], max_retries=0)
common = {
    "model": os.environ["MODEL"],
    "messages": [{"role": "user", "content": "When is high water in Ostend?"}],
    "max_retries": 0,
}


class Tide(BaseModel):
    """Time of high water."""

    place: str
    at: str


def chat() -> str:
    client = instructor.from_openai(plain, mode=instructor.Mode.JSON_SCHEMA)
    return str(client.create(response_model=Tide, **common))


def stream() -> str:
    client = instructor.from_openai(plain, mode=instructor.Mode.TOOLS)
    parts = list(client.create_partial(response_model=Tide, **common))
    assert len(parts) > 1, parts
    return str(parts[-1])


def tools() -> str:
    client = instructor.from_openai(plain, mode=instructor.Mode.TOOLS)
    return str(client.create(response_model=Tide, **common))


print(globals()[sys.argv[1]]())
