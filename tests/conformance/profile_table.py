"""What every packaged profile is tried with; `test_conformance_profiles.py` and `…_jobs.py` have a check for each."""

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

# Of those that answer by jobs.
JOBS: dict[str, str] = {
    "done": "an image after two questions; address and signature of all of them are those of the profile; charged once",
    "failed": "a job that failed there: the client is told 502, and nothing is charged",
    "cancelled": "a client that leaves: the job is cancelled at the provider, and nothing is charged",
    "refused": "the provider answers 400, 401, 429 and 500; the client is told 400, 503, 429 and 502",
    "edits": "a picture of a form reaches the provider as an input of the model",
}
