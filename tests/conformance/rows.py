"""What is tried in every pairing: the rows of the matrix, as data. A further row is one more entry here, and its notes."""

from dataclasses import dataclass, field
from typing import Any

from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, Usage, said
from tests.conformance.trouble import (
    CLIENT_LEAVES,
    ERROR_IN_STREAM,
    ERROR_WITH_STATUS_200,
    PICTURE,
    REFUSED,
    SILENT_ABOUT_USAGE,
    SILENT_CLOSE,
    Trouble,
)

PLAIN, STREAM = "plain", "stream"
PNG = ("image/png", "iVBORw0KGgo=")
PDF = ("application/pdf", "JVBERi0xLjQ=", "report.pdf")
UNUSUAL = 'Grüße 你好\n\ttab "quoted" \\ \u2028 😀 </system>'
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER, TIME = Tool("get_weather", CITY), Tool("get_time", CITY, "Tells the time.")
PARIS = ("call_paris", "get_weather", {"city": "Paris", "days": [1, 2.5], "note": None})
ROME = ("call_rome", "get_time", {"city": "Rome"})
SEARCH = (
    '{"id": "srvtoolu_1", "input": {"query": "weather"}, "name": "web_search", "type": "server_tool_use"}',
    '{"content": [{"encrypted_content": "ZQ==", "page_age": null, "title": "T", "type": "web_search_result", "url":'
    ' "https://example.com/w"}], "tool_use_id": "srvtoolu_1", "type": "web_search_tool_result"}',
)
RESULT = Part("result", ("call_paris", (Part("text", "sunny"),), False))


_GREETING, _GREETED = Talk((said("Hello!"),)), Reply(("Hello there.",))


@dataclass(frozen=True)
class Row:
    """One row: a talk with the reply to it, or a trouble with what must become of it.

    `again`: the client sends the answer back in a second request, with the results of its calls, and the provider must
    hear what it said. `script` adds to the fake's behaviour. `trouble` is the whole cell itself.
    """

    name: str
    talk: Talk = _GREETING
    reply: Reply = _GREETED
    forms: tuple[str, ...] = (PLAIN, STREAM)
    again: Turn | None = None
    script: dict[str, Any] = field(default_factory=dict)
    trouble: Trouble | None = None


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row("plain answer", reply=Reply((UNUSUAL,)), forms=(PLAIN,)),
        Row("streamed answer", reply=Reply((UNUSUAL,)), forms=(STREAM,)),
        Row(
            "conversation",
            Talk((said("One."), Turn("assistant", (Part("text", "Two."),)), said(UNUSUAL)), system="Be brief."),
        ),
        Row(
            "system message later",
            Talk((said("One."), Turn("system", (Part("text", "Be brief."),)), said("Two.")), system="Be kind."),
        ),
        Row("answer begun", Talk((said("Count."), Turn("assistant", (Part("text", "One, two"),))))),
        Row("temperature, maximum", Talk((said("Hello!"),), temperature=0.5, max_tokens=77)),
        Row(
            "seed, penalties, bias",
            Talk(
                (said("Hello!"),),
                further=(
                    ("seed", 7), ("presence_penalty", 0.5), ("frequency_penalty", 0.25), ("logit_bias", {"50256": -1}),
                ),
            ),
        ),
        Row("top p", Talk((said("Hello!"),), further=(("top_p", 0.9),))),
        Row("top k", Talk((said("Hello!"),), further=(("top_k", 40),))),
        Row("end user", Talk((said("Hello!"),), user="user-7")),
        Row(
            "stop texts",
            Talk((said("Count."),), stop=("END", "\n\n")),
            Reply(("One, two, ",), stop_sequence="END"),
        ),
        Row("cut off at the maximum", reply=Reply(("Half a",), finish="length")),
        Row("filtered", reply=Reply(("Half a",), finish="content_filter", refused=True)),
        Row("refusal", reply=Reply(("I will not.",), refused=True)),
        Row("tool call", Talk((said("Weather?"),), tools=(WEATHER,)), Reply(("Looking.",), calls=(PARIS,), finish="tool_calls")),
        Row(
            "parallel calls",
            Talk((said("Weather and time?"),), tools=(WEATHER, TIME)),
            Reply(("",), calls=(PARIS, ROME), finish="tool_calls"),
        ),
        Row(
            "calls in turns",
            Talk((said("Weather and time?"),), tools=(WEATHER, TIME)),
            Reply(("",), calls=(PARIS, ROME), finish="tool_calls"),
            forms=(STREAM,),
            script={"interleave": True, "fragment_chars": 3},
        ),
        Row("no tool may be called", Talk((said("Weather?"),), tools=(WEATHER,), choice="none")),
        Row("strict tool", Talk((said("Weather?"),), tools=(Tool("get_weather", CITY, strict=True),))),
        Row("one call at a time", Talk((said("Weather?"),), tools=(WEATHER, TIME), one_at_a_time=True)),
        Row("a tool must be called", Talk((said("Weather?"),), tools=(WEATHER,), choice="required"), Reply(("",), calls=(PARIS,), finish="tool_calls")),
        Row("this tool must be called", Talk((said("Weather?"),), tools=(WEATHER, TIME), choice="get_weather"), Reply(("",), calls=(PARIS,), finish="tool_calls")),
        Row(
            "results in any order",
            Talk(
                (
                    said("Weather and time?"),
                    Turn("assistant", (Part("call", PARIS), Part("call", ROME))),
                    Turn(
                        "user",
                        (Part("result", ("call_rome", (Part("text", "noon"),), False)), RESULT, Part("text", "And now?")),
                    ),
                ),
                tools=(WEATHER, TIME),
            ),
        ),
        Row(
            "failed result",
            Talk(
                (
                    said("Weather?"),
                    Turn("assistant", (Part("call", PARIS),)),
                    Turn("user", (Part("result", ("call_paris", (Part("text", "no such place"),), True)),)),
                ),
                tools=(WEATHER,),
            ),
        ),
        Row(
            "results with images",
            Talk(
                (
                    said("Weather?"),
                    Turn("assistant", (Part("call", PARIS),)),
                    Turn("user", (Part("result", ("call_paris", (Part("text", "sunny"), Part("image", PNG)), False)),)),
                ),
                tools=(WEATHER,),
            ),
        ),
        Row(
            "thinking",
            Talk((said("Hello!"),), effort="low", max_tokens=4000),
            Reply(("Hello there.",), thinking="Let me see."),
        ),
        Row(
            "signed thinking",
            Talk((said("Weather?"),), tools=(WEATHER,), effort="low", max_tokens=4000),
            Reply(("Looking.",), thinking="Let me see.", signature="c2lnbmF0dXJl", calls=(PARIS,), finish="tool_calls"),
            again=Turn("user", (RESULT,)),
        ),
        Row(
            "encrypted thinking",
            Talk((said("Weather?"),), tools=(WEATHER,), effort="low", max_tokens=4000),
            Reply(("Looking.",), thinking="Let me", signature="c2ln", redacted="ZW5j", calls=(PARIS,), finish="tool_calls"),
            again=Turn("user", (RESULT,)),
        ),
        Row(
            "cache marks, sent",
            Talk(
                (said("", Part("text", "A long text.", mark=True), Part("text", "A question?")),),
                system="Be brief.", system_mark=True, tools=(Tool("get_weather", CITY, mark=True),),
            ),
        ),
        Row("cache reads, told", reply=Reply(("Hi.",), usage=Usage(1000, 50, cached=600))),
        Row("cache marks, told", reply=Reply(("Hi.",), usage=Usage(1000, 50, cached=600, written=300))),
        Row("image by address", Talk((said("What is this?", Part("image", "https://example.com/cat.png")),))),
        Row(
            "image by an address without ending",
            Talk((said("What is this?", Part("image", "https://example.com/cat?v=2")),)),
        ),
        Row("image as data", Talk((said("What is this?", Part("image", PNG)),))),
        Row("image, how closely", Talk((said("What is this?", Part("detailed", (PNG, "low"))),))),
        Row("PDF", Talk((said("Sum up.", Part("document", PDF)),))),
        Row("PDF by address", Talk((said("Sum up.", Part("document", (None, "https://example.com/a.pdf", "a.pdf"))),))),
        Row("text document", Talk((said("Sum up.", Part("note", ("Once upon a time.", "tale")),),))),
        Row("audio", Talk((said("Who speaks?", Part("audio", ("wav", "UklGRg=="))),))),
        Row("JSON object", Talk((said("As JSON."),), form="json"), Reply(('{"a": 1}',))),
        Row("JSON schema", Talk((said("As JSON."),), form=CITY), Reply(('{"city": "Rome"}',))),
        Row("citations", reply=Reply(("It is sunny.",), citations=(("https://example.com/w", "Weather"),))),
        Row(
            "citations of a document, asked for",
            Talk((said("Sum up.", Part("cited", ("Once upon a time.", "tale"))),)),
        ),
        Row("picture in the answer", trouble=PICTURE),
        Row("logprobs", Talk((said("Hello!"),), logprobs=True), Reply(("Hello there.",), logprobs="Hello there.")),
        Row("several answers", Talk((said("Hello!"),), n=2), Reply(("Hello there.", "Hello there."))),
        Row(
            "server tools",
            Talk((said("Weather?"),), server_tool=True),
            Reply(("It is sunny.",), raw=SEARCH),
            again=said("And tomorrow?"),
        ),
        Row("silent about usage", trouble=SILENT_ABOUT_USAGE),
        Row("error of the provider", trouble=REFUSED),
        Row("error with status 200", trouble=ERROR_WITH_STATUS_200),
        Row("error in mid-stream", forms=(STREAM,), trouble=ERROR_IN_STREAM),
        Row("silent close", forms=(STREAM,), trouble=SILENT_CLOSE),
        Row("client leaves", forms=(STREAM,), trouble=CLIENT_LEAVES),
    )
}  # fmt: skip
