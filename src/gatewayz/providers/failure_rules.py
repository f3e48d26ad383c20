"""What providers say when something goes wrong: codes and phrases, status codes, what each means; a reason per rule.

The first rule that fits decides; status codes alone decide last. Providers echo the caller's text in their messages, so
phrases that put the blame on us (credentials, credit) must stand at the start of the message: else a caller could
make a healthy provider look sick.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class FailureKind(Enum):
    """What went wrong in one attempt. What follows from it is decided by the router."""

    CALLER = "caller"  # the request itself; nobody else would take it
    CONTEXT_LENGTH = "context_length"  # longer than the model's context
    CONTENT_POLICY = "content_policy"  # refused for what it says
    CREDENTIALS = "credentials"  # our key is unknown, revoked or not allowed there
    CREDIT = "credit"  # our account there has no money left
    MODEL_GONE = "model_gone"  # not served there, or not to us
    TIMEOUT = "timeout"  # the provider was silent for too long
    BUSY = "busy"  # rate limited; the same provider will take it later
    FAULT = "fault"  # a mistake of the provider, or of our address for it
    OVERLOADED = "overloaded"  # no capacity there
    CONNECTION = "connection"  # not reached, or broken off before content
    EMPTY = "empty"  # an answer without content
    MALFORMED = "malformed"  # an answer that nobody can read
    MID_STREAM = "mid_stream"  # broken off or failed after the first content


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that providers say and what it means.

    All conditions that are given must hold: one of `statuses` (None in it: no status known), one of `words` as code or
    type of the error, and `phrase` somewhere in its message.
    """

    kind: FailureKind
    reason: str
    words: frozenset[str] = frozenset()
    phrase: re.Pattern[str] | None = None
    statuses: frozenset[int | None] = frozenset()

    def fits(self, status: int | None, words: frozenset[str], message: str) -> bool:
        """Whether this rule speaks about such an error; `words` are normalised with `word`."""
        if self.statuses and status not in self.statuses:
            return False
        if self.words and self.words.isdisjoint(words):
            return False
        return self.phrase is None or self.phrase.search(message) is not None


def word(text: str) -> str:
    """A code in one spelling: `Rate-Limit.Exceeded`, `rate limit exceeded` and `rate_limit_exceeded` are the same."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _say(kind: FailureKind, words: str, reason: str, statuses: tuple[int | None, ...] = ()) -> Rule:
    return Rule(kind, reason, frozenset(words.split()), None, frozenset(statuses))


def _read(kind: FailureKind, phrase: str, reason: str, statuses: tuple[int | None, ...] = ()) -> Rule:
    return Rule(kind, reason, frozenset(), re.compile(phrase, re.IGNORECASE), frozenset(statuses))


_REFUSED = (400, 413, 422, None)
# Long prompts are also reported as 500 by local servers.
_TOO_LONG = (*_REFUSED, 500)
_K = FailureKind

# Names of exceptions, in a header of a reply or of an event; before all others, because its sentences sound like theirs.
_AWS = (
    _say(
        _K.BUSY, "throttlingexception servicequotaexceededexception toomanyrequestsexception", "AWS: a quota is used up"
    ),
    _say(
        _K.OVERLOADED, "modelnotreadyexception serviceunavailableexception", "AWS: the model is not loaded; no capacity"
    ),
    _say(_K.TIMEOUT, "modeltimeoutexception", "AWS: the model took too long"),
    _say(_K.FAULT, "internalserverexception modelerrorexception modelstreamerrorexception", "AWS: the model failed"),
    _say(
        _K.CREDENTIALS,
        "unrecognizedclientexception invalidsignatureexception expiredtokenexception incompletesignatureexception"
        " missingauthenticationtokenexception invalidclienttokenid",
        "AWS: keys that are unknown, expired, or a clock that is wrong",
    ),
    _say(_K.MODEL_GONE, "resourcenotfoundexception", "AWS: no such model, or its use was not applied for"),
    _read(_K.MODEL_GONE, r"^you don't have access to the model", "Bedrock answers 403: not opened for us", (403,)),
    _read(
        _K.MODEL_GONE,
        r"^invocation of model id .{1,200} with on-demand throughput isn.t supported",
        "Bedrock: this model has no plain name in this region",
        (400, None),
    ),
    _read(
        _K.MODEL_GONE,
        r"^this model doesn.t support",
        "Bedrock: a model without this ability there; another provider's may have it",
        (400, None),
    ),
    _read(_K.CONTEXT_LENGTH, r"^input is too long for requested model", "Bedrock", (400, None)),
    _say(_K.CREDENTIALS, "accessdeniedexception", "AWS: the keys may not do this"),
)

_MONEY = (
    _say(_K.BUSY, "resource_exhausted", "Google's quota per minute, worded like an unpaid bill", (429, None)),
    _say(_K.CREDIT, "insufficient_quota", "OpenAI (429) and Perplexity (401): the account's money, no wait helps"),
    _say(_K.CREDIT, "billing_hard_limit_reached billing_not_active", "OpenAI: the account's own spending limit"),
    _say(_K.CREDIT, "billing_error", "Anthropic's name for 402"),
    _say(_K.CREDIT, "insufficient_credits insufficient_balance insufficient_funds", "OpenRouter, Vercel and others"),
    _say(_K.CREDIT, "insufficient_user_quota", "One-API and its descendants (AiHubMix) answer 403"),
    _say(_K.CREDIT, "not_enough_balance", "Novita answers 403"),
    _say(_K.CREDIT, "exceeded_current_quota_error", "Moonshot answers 429 for an empty account"),
    _say(_K.CREDIT, "arrearage", "Alibaba Cloud answers 400 for an unpaid account"),
    _say(_K.CREDIT, "allocationquota_freetieronly", "Alibaba Cloud: the free tier is used up and no other is allowed"),
    _say(_K.CREDIT, "1113 1309", "Z.ai answers 429 for an empty account and an ended plan"),
    _read(_K.CREDIT, r"^your credit balance is too low", "Anthropic answers 400 for an empty account", (400, None)),
    _read(
        _K.CREDIT,
        r"^(?:error: )?(?:insufficient (?:account )?(?:balance|credits?|funds)|not enough balance|"
        r"credit limit exceeded)",
        "DeepSeek, Together and others, under changing statuses",
    ),
    _read(_K.CREDIT, r"^you exceeded your current quota, please check your plan", "OpenAI without a code", (429, None)),
    _read(
        _K.CREDIT,
        r"^(?:your team .{0,120}|you have )(?:either )?(?:used all available credits|"
        r"reached (?:its|your) monthly spending)",
        "xAI answers 403 or 429 for an empty account",
    ),
    _read(_K.CREDIT, r"^account .{0,120}suspended, possibly due to reaching the monthly spending", "Fireworks: 412"),
    _read(_K.CREDIT, r"^you have exceeded your monthly included credits", "Hugging Face"),
    _say(_K.CREDIT, "3036 4006", "Cloudflare answers 429 for a day's allocation that is used up", (429, None)),
    _read(
        _K.CREDIT,
        r"^you are using a trial key, which is limited to .{1,60} / month",
        "Cohere answers 429 for a month's trial that is used up",
        (429,),
    ),
    _read(_K.CREDIT, r"^inference prohibited, please enter a payment method", "DeepInfra"),
)

_CONTENT = (
    _say(_K.CONTENT_POLICY, "content_filter responsibleaipolicyviolation", "Azure answers 400"),
    _say(_K.CONTENT_POLICY, "content_policy_violation moderation_blocked", "OpenAI's image and chat moderation"),
    _say(_K.CONTENT_POLICY, "data_inspection_failed datainspectionfailed", "Alibaba Cloud's content inspection"),
    _say(_K.CONTENT_POLICY, "1301", "Z.ai: unsafe content"),
    _read(_K.CONTENT_POLICY, r"content management policy", "Azure", _REFUSED),
    _read(
        _K.CONTENT_POLICY, r"flagged as potentially violating our usage policy", "OpenAI's reasoning models", _REFUSED
    ),
    _read(
        _K.CONTENT_POLICY, r"output blocked by content filtering policy", "Anthropic, also inside a stream", _REFUSED
    ),
    _read(_K.CONTENT_POLICY, r"^content exists risk", "DeepSeek", _REFUSED),
    _read(_K.CONTENT_POLICY, r"^your request was rejected (?:as a result of|by) (?:our|the) safety system", "OpenAI"),
    _read(_K.CONTENT_POLICY, r"may contain inappropriate content", "Alibaba Cloud", _REFUSED),
    _read(_K.CONTENT_POLICY, r"requires moderation on .{0,80}your input was flagged", "OpenRouter", (400, 403, None)),
    _read(_K.CONTENT_POLICY, r"^(?:nsfw content detected|all generated images contained nsfw)", "Replicate's models"),
    _say(_K.CONTENT_POLICY, "ipinfringementsuspect", "Alibaba Cloud: the images may infringe a right"),
    _read(_K.CONTENT_POLICY, r"^content violates usage guidelines", "xAI", (400, 403, None)),
)

_LENGTH = (
    _say(_K.CONTEXT_LENGTH, "context_length_exceeded", "OpenAI, Groq, Cerebras, xAI"),
    _say(_K.CONTEXT_LENGTH, "exceed_context_size_error", "llama.cpp's server"),
    _say(_K.CONTEXT_LENGTH, "1261", "Z.ai: prompt too long"),
    _read(
        _K.CONTEXT_LENGTH,
        r"maximum context length|maximum prompt length",
        "OpenAI, vLLM, Mistral, OpenRouter; xAI",
        _TOO_LONG,
    ),
    _read(_K.CONTEXT_LENGTH, r"^(?:[\w.\[\]]+: )*prompt is too long", "Anthropic", _TOO_LONG),
    _read(
        _K.CONTEXT_LENGTH,
        r"exceeds? (?:the )?(?:model'?s )?context (?:limit|window|length)",
        "Anthropic, OpenAI",
        _TOO_LONG,
    ),
    _read(_K.CONTEXT_LENGTH, r"longer than the (?:model'?s context|maximum model) length", "vLLM", _TOO_LONG),
    _read(
        _K.CONTEXT_LENGTH,
        r"exceeds the (?:available context size|maximum number of tokens allowed)",
        "llama.cpp; Google",
        _TOO_LONG,
    ),
    _read(_K.CONTEXT_LENGTH, r"reduce the length of the (?:messages|prompt|input)", "Groq, Cerebras", _TOO_LONG),
    _read(_K.CONTEXT_LENGTH, r"^too many tokens\b", "Cohere", _TOO_LONG),
    _read(_K.CONTEXT_LENGTH, r"range of input length should be", "Alibaba Cloud", _TOO_LONG),
    _read(_K.CONTEXT_LENGTH, r"inputs`? tokens \+ `?max_new_tokens`? must be", "text-generation-inference", _TOO_LONG),
    _read(
        _K.CONTEXT_LENGTH,
        r"when (?:the )?context (?:the )?overflows|context length of only \d+ tokens",
        "LM Studio",
        _TOO_LONG,
    ),
)

_KEYS = (
    _say(
        _K.CREDENTIALS, "invalid_api_key api_key_invalid invalid_authentication", "a key that is not known, any status"
    ),
    _say(_K.CREDENTIALS, "unsupported_country_region_territory", "OpenAI serves nobody from where we call"),
    _read(_K.CREDENTIALS, r"^(?:incorrect|invalid) api key", "xAI answers 400", (400, None)),
    _read(_K.CREDENTIALS, r"^api key not valid|^api key expired", "Google answers 400", (400, None)),
    _read(_K.CREDENTIALS, r"^user location is not supported", "Google serves nobody from where we call", (400, None)),
)

_MODELS = (
    _say(_K.MODEL_GONE, "model_not_found model_not_found_error model_not_available", "OpenAI and who speaks like it"),
    _say(_K.MODEL_GONE, "model_decommissioned", "Groq answers 400 for retired models"),
    _say(_K.MODEL_GONE, "deploymentnotfound", "Azure: no such deployment"),
    _say(_K.MODEL_GONE, "invalid_model", "Mistral answers 400 for unknown models"),
    _say(_K.MODEL_GONE, "model_not_supported", "Hugging Face answers 400: no provider of ours has it"),
    _say(
        _K.MODEL_GONE, "model_permission_blocked_org model_permission_blocked_project", "Groq: forbidden to our account"
    ),
    _say(_K.MODEL_GONE, "1211", "Z.ai: unknown model"),
    _say(_K.MODEL_GONE, "5007 3042 5018 3041 5016", "Cloudflare: no such model, or not for us", (400, 403, 404, None)),
    _read(_K.MODEL_GONE, r"^model not exist", "DeepSeek and Alibaba Cloud answer 400", (400, 403)),
    _read(_K.MODEL_GONE, r"is not a valid model id$|^no endpoints found", "OpenRouter", (400, 404)),
    _read(_K.MODEL_GONE, r"^the provided model identifier is invalid", "Bedrock answers 400", (400,)),
    _read(
        _K.MODEL_GONE,
        r"^(?:the )?(?:requested )?model [`'\"]?[^\s`'\"]+[`'\"]? (?:does not exist|is not found|not found|"
        r"has been (?:de|re)|was removed|is (?:de|re)(?:precated|tired)|is not available)",
        "many, also under 400 and 403",
        (400, 403, 410),
    ),
    _read(
        _K.MODEL_GONE,
        r"^your organization must be verified to",
        "OpenAI gives this model to verified accounts only",
        (400, 403),
    ),
)

_OTHERS = (
    _say(
        _K.OVERLOADED,
        "overloaded_error engine_overloaded_error",
        "Anthropic; Moonshot, under 429: its capacity, not our limit",
    ),
    _say(_K.OVERLOADED, "3040", "Cloudflare answers 429 where no data center has room", (429, None)),
    _say(_K.OVERLOADED, "insufficient_system_resource", "DeepSeek, as the reason for which an answer ended", (None,)),
    _say(_K.OVERLOADED, "service_unavailable_error service_unavailable unavailable", "no capacity", (None,)),
    _say(
        _K.CALLER, "rate_limit_exceeded", "Groq: one request larger than the tokens of a minute; no wait helps", (413,)
    ),
    _say(
        _K.CALLER, "previous_response_not_found file_not_found", "something of the caller's that is not there", (404,)
    ),
    _read(
        _K.CALLER,
        r"^no such (?:file|assistant|thread|batch)",
        "OpenAI: something of the caller's that is not there",
        (404,),
    ),
    _say(_K.FAULT, "unknown_url invalid_url route_not_found", "our address for this provider is wrong", (404,)),
    _read(
        _K.FAULT,
        r"^(?:invalid url|unknown request url|404 page not found|cannot post |no route matched|no static resource)"
        r"|404 not found.*(?:nginx|openresty|apache|cloudflare)",
        "our address for this provider is wrong",
        (404,),
    ),
    _say(_K.CONTENT_POLICY, "invalid_prompt", "OpenAI's reasoning models: flagged", (400, None)),
)

# Errors inside a stream or inside a 200 carry no status; their type has to do.
_WITHOUT_STATUS = (
    _say(
        _K.CREDENTIALS,
        "authentication_error permission_error unauthorized forbidden unauthenticated",
        "error type",
        (None,),
    ),
    _say(_K.MODEL_GONE, "not_found_error not_found", "error type", (None,)),
    _say(
        _K.BUSY, "rate_limit_error rate_limit_exceeded too_many_requests too_many_requests_error", "error type", (None,)
    ),
    _say(_K.BUSY, "throttling throttling_ratequota throttling_allocationquota tokens requests", "error type", (None,)),
    _say(
        _K.TIMEOUT, "timeout_error timeout deadline_exceeded request_timeout generation_timeout", "error type", (None,)
    ),
    _say(_K.FAULT, "api_error server_error internal_server_error internal internal_error", "error type", (None,)),
    _say(_K.CALLER, "invalid_request_error invalid_argument bad_request request_too_large", "error type", (None,)),
    _say(_K.CALLER, "badrequesterror unprocessable_entity validation_error validationexception", "error type", (None,)),
)

RULES: tuple[Rule, ...] = (*_AWS, *_MONEY, *_CONTENT, *_LENGTH, *_KEYS, *_MODELS, *_OTHERS, *_WITHOUT_STATUS)

STATUS_RULES: dict[int, tuple[FailureKind, str]] = {
    400: (_K.CALLER, "bad request"),
    401: (_K.CREDENTIALS, "our key is refused"),
    402: (_K.CREDIT, "our account there cannot pay"),
    403: (_K.CREDENTIALS, "our key is not allowed this"),
    404: (_K.MODEL_GONE, "not known there"),
    405: (_K.FAULT, "our address for this provider is wrong"),
    408: (_K.TIMEOUT, "request timeout"),
    410: (_K.MODEL_GONE, "retired there"),
    413: (_K.CALLER, "request too large"),
    415: (_K.CALLER, "media not accepted"),
    422: (_K.CALLER, "fields refused"),
    425: (_K.OVERLOADED, "too early"),
    429: (_K.BUSY, "rate limited"),
    498: (_K.OVERLOADED, "Groq's flex tier has no capacity"),
    503: (_K.OVERLOADED, "unavailable"),
    504: (_K.TIMEOUT, "gateway timeout"),
    521: (_K.CONNECTION, "Cloudflare could not reach the provider"),
    522: (_K.CONNECTION, "Cloudflare could not reach the provider"),
    523: (_K.CONNECTION, "Cloudflare could not reach the provider"),
    524: (_K.TIMEOUT, "Cloudflare waited too long for the provider"),
    529: (_K.OVERLOADED, "Anthropic is overloaded"),
}


def by_status(status: int | None) -> tuple[FailureKind, str]:
    """What a status alone means. Unknown 4xx blame nobody in particular: another provider may still serve."""
    if status is None:
        return FailureKind.FAULT, "an error without status or known type"
    known = STATUS_RULES.get(status)
    if known is not None:
        return known
    if 300 <= status < 400:
        return FailureKind.FAULT, "a redirect: our address for this provider is wrong"
    return FailureKind.FAULT, "an unexpected status"


def all_rules() -> Iterator[Rule]:
    """Every rule in the order in which they are asked, status codes last."""
    yield from RULES
    for status, (kind, reason) in STATUS_RULES.items():
        yield Rule(kind, reason, statuses=frozenset({status}))
