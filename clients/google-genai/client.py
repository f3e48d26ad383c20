"""Google's client for Gemini, at the gateway's own `/v1beta`."""

import os
import sys

from google import genai
from google.genai import types

client = genai.Client(
    api_key=os.environ["GATEWAY_KEY"], http_options=types.HttpOptions(base_url=os.environ["GATEWAY_URL"])
)
model = os.environ["MODEL"]
question = "When is high water in Ostend?"


def chat() -> str:
    answer = client.models.generate_content(model=model, contents=question)
    assert answer.usage_metadata.total_token_count == 15, answer.usage_metadata
    return answer.text


def stream() -> str:
    pieces = [part.text for part in client.models.generate_content_stream(model=model, contents=question) if part.text]
    assert len(pieces) > 1, pieces
    return "".join(pieces)


def tools() -> str:
    def tide(place: str) -> str:
        """Time of high water.

        Args:
            place: Name of the port.
        """
        assert place == "Ostend", place
        return "Ostend 07:42"

    config = types.GenerateContentConfig(tools=[tide])
    return client.models.generate_content(model=model, contents=question, config=config).text


print(globals()[sys.argv[1]]())
