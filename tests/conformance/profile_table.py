"""What every packaged profile is tried with; `test_conformance_profiles.py` has a check for each."""

CAPABILITIES: dict[str, str] = {
    "chat": "a plain answer; the address, the signature and the headers are those of the profile",
    "stream": "the same in a stream, at the address for streams",
    "tools": "a tool and a call of it, plain and streamed",
    "parallel tools": "two calls at once, plain and streamed, their fragments in turns where the dialect can",
    "errors": "the provider answers 400, 401, 429 and 500; the client is told 400, 503, 429 and 502",
    "usage": "tokens and cached tokens reach the client and the bill to the last one",
    "silence about usage": "a provider that tells no tokens: they are counted, marked as estimated, and charged",
    "cancel": "a client that leaves: the provider is stopped",
}
