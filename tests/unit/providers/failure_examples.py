"""What providers really say, by kind of failure: status and body as sent; the recorded ones are marked."""

import json
from typing import Any

from gatewayz.providers.failures import FailureKind

K = FailureKind


def _openai(message: str, kind: str | None = None, code: Any = None, param: str | None = None) -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def _anthropic(kind: str, message: str) -> str:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011CWb"})


def _cloudflare(code: int, message: str) -> str:
    return json.dumps(
        {"result": None, "success": False, "errors": [{"code": code, "message": message}], "messages": []}
    )


# (kind, status or None for an error inside a stream, body)
EXAMPLES: list[tuple[FailureKind, int | None, str]] = [
    (K.BUSY, None, '{"type":"throttlingException","message":"Too many tokens, please wait before trying again."}'),
    (
        K.OVERLOADED,
        None,
        '{"type":"serviceUnavailableException","message":"Bedrock is unable to process your request."}',
    ),
    (K.FAULT, None, '{"type":"modelStreamErrorException","message":"The system encountered an unexpected error."}'),
    (K.CALLER, None, '{"type":"validationException","message":"The text field in the ContentBlock object is blank."}'),
    (
        K.CREDIT,
        429,
        '{"id":"4b3a","message":"You are using a Trial key, which is limited to 1000 API calls / month. You can continue to use'
        ' the Trial key for free or upgrade to a Production key."}',
    ),
    (K.BUSY, 429, '{"message":"You are using a Trial key, which is limited to 10 API calls / minute."}'),
    (K.OVERLOADED, 429, _cloudflare(3040, "AiError: No more data centers to forward the request to")),
    (K.OVERLOADED, None, _cloudflare(3040, "AiError: No more data centers to forward the request to")),
    (K.CREDIT, 429, _cloudflare(3036, "AiError: You have used up your daily free allocation of 10,000 neurons.")),
    (K.MODEL_GONE, 400, _cloudflare(5007, "AiError: No such model @cf/acme/none or task")),
    (K.MODEL_GONE, 403, _cloudflare(5016, "AiError: User has not agreed to Llama3.2 model terms")),
    (K.CREDENTIALS, 401, _cloudflare(10000, "Authentication error")),
    (K.CALLER, 400, _cloudflare(5004, "AiError: Invalid data type for base64 input")),
    (K.TIMEOUT, None, '{"type":"generation_timeout","message":"the model\'s answer ended with TIMEOUT"}'),
    (K.TIMEOUT, 408, '{"type":"ModelTimeoutException","message":"Model has timed out in processing the request."}'),
    (
        K.CREDENTIALS,
        403,
        '{"type":"ExpiredTokenException","message":"The security token included in the request is expired"}',
    ),
    (
        K.MODEL_GONE,
        404,
        '{"type":"ResourceNotFoundException","message":"Model use case details have not been submitted for this account."}',
    ),
    (
        K.CREDENTIALS,
        403,
        '{"type":"AccessDeniedException","message":"User: x is not authorized to perform: bedrock:InvokeModel"}',
    ),
    (K.CONTEXT_LENGTH, 400, '{"message":"Input is too long for requested model."}'),
    (
        K.CONTEXT_LENGTH,
        400,
        '{"message":"The model returned the following errors: prompt is too long: 208310 tokens > 200000 maximum"}',
    ),
    (K.MODEL_GONE, 403, '{"message":"You don\'t have access to the model with the specified model ID."}'),
    (
        K.MODEL_GONE,
        400,
        '{"message":"Invocation of model ID anthropic.claude-sonnet-4-5 with on-demand throughput isn\u2019t supported. Retry'
        ' your request with the ID or ARN of an inference profile that contains this model."}',
    ),
    (K.MODEL_GONE, 400, '{"message":"This model doesn\'t support tool use in streaming mode."}'),
    (K.CREDENTIALS, 403, '{"message":"The security token included in the request is invalid."}'),
    # recorded
    (K.MODEL_GONE, 404, _anthropic("not_found_error", "model: this-model-does-not-exist-12345")),
    (
        K.CREDENTIALS,
        401,
        '{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}',
    ),
    (K.MODEL_GONE, 400, '{"message": "The provided model identifier is invalid."}'),
    (K.CALLER, 400, '{"message": "The provided model doesn\'t support counting tokens."}'),
    (
        K.MODEL_GONE,
        404,
        '{"id":"7321d3c5","message":"model \'command-r\' was removed on September 15, 2025. See https://docs.cohere.com/docs/models#command"}',
    ),
    (K.CREDENTIALS, 401, '{"id":"2d46","message":"Incorrect API key provided: ***********."}'),
    (
        K.CREDENTIALS,
        401,
        _openai(
            "Authentication Fails, Your api key: ****-key is invalid", "authentication_error", "invalid_request_error"
        ),
    ),
    (
        K.CALLER,
        400,
        _openai("No tool output found for tool call call-a.", "invalid_request_error", "invalid_request_error"),
    ),
    (
        K.MODEL_GONE,
        404,
        '{"error": {"code": 404, "message": "models/gemini-3.6-flahs is not found for API version v1beta", "status": "NOT_FOUND"}}',
    ),
    (
        K.MODEL_GONE,
        404,
        _openai(
            "The model `llama-3.3-70b-versatlie` does not exist or you do not have access to it.",
            "invalid_request_error",
            "model_not_found",
        ),
    ),
    (K.CREDENTIALS, 401, '{"detail":"Invalid API Key"}'),
    (K.CREDENTIALS, 401, _openai("Unauthorized", "api_error")),
    (K.CALLER, 400, _openai("Unknown parameter: 'quality'.", "invalid_request_error", "unknown_parameter", "quality")),
    (
        K.BUSY,
        429,
        '{"error": {"code": 429, "message": "Provider returned error", "metadata": {"provider_name": "Google", "raw": "google/gemini-2.0-flash-exp:free is temporarily rate-limited upstream."}}, "user_id": "0000"}',
    ),
    (
        K.CREDENTIALS,
        401,
        '{"error":{"message":"Invalid API key provided. Ensure your API key is correct and active.","type":"invalid_api_key","code":401}}',
    ),
    (
        K.CREDENTIALS,
        400,
        '{"code":"invalid-argument","error":"Incorrect API key provided. You can obtain an API key from https://console.x.ai."}',
    ),
    (
        K.CALLER,
        None,
        '{"error":{"message":"Tool call validation failed: parameters for tool x did not match schema","type":"invalid_request_error","code":"tool_use_failed","status_code":400}}',
    ),
    (K.CALLER, None, '{"id":"gen-1","provider":"OpenAI","error":{"code":400,"message":"Token limit reached"}}'),
    # money
    (
        K.CREDIT,
        429,
        _openai(
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
            "insufficient_quota",
        ),
    ),
    (K.CREDIT, 429, _openai("You exceeded your current quota, please check your plan and billing details.")),
    (
        K.BUSY,
        429,
        '{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. Please retry in 34.07s.", "status": "RESOURCE_EXHAUSTED"}}',
    ),
    (
        K.CREDIT,
        400,
        _anthropic(
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
        ),
    ),
    (K.CREDIT, 402, _openai("Insufficient Balance", "unknown_error", "invalid_request_error")),
    (K.CREDIT, 402, '{"error":{"message":"This request requires more credits, or fewer max_tokens.","code":402}}'),
    (
        K.CREDIT,
        400,
        _openai("Billing hard limit has been reached", "invalid_request_error", "billing_hard_limit_reached"),
    ),
    (K.CREDIT, 402, _anthropic("billing_error", "There is a problem with your payment.")),
    (K.CREDIT, 402, _openai("Add funds.", "insufficient_funds")),
    (K.CREDIT, 403, _openai("User quota is not enough", "new_api_error", "insufficient_user_quota")),
    (K.CREDIT, 403, '{"code":403,"reason":"NOT_ENOUGH_BALANCE","message":"not enough balance","metadata":{}}'),
    (K.CREDIT, 403, _openai("no money left", None, "NOT_ENOUGH_BALANCE")),
    (K.CREDIT, 429, _openai("Your account is suspended", "exceeded_current_quota_error")),
    (
        K.CREDIT,
        400,
        _openai("Access denied, please make sure your account is in good standing.", "Arrearage", "Arrearage"),
    ),
    (K.CREDIT, 403, _openai("The free tier of the model has been exhausted.", None, "AllocationQuota.FreeTierOnly")),
    (K.CREDIT, 429, '{"error":{"code":"1113","message":"no resource package"}}'),
    (
        K.CREDIT,
        429,
        '{"code":"Some resource has been exhausted","error":"Your team 1234 has either used all available credits or reached its monthly spending limit."}',
    ),
    (
        K.CREDIT,
        412,
        '{"error":{"message":"Account acme is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices."}}',
    ),
    (K.CREDIT, 402, '{"error":"You have exceeded your monthly included credits for Inference Providers."}'),
    (K.CREDIT, 403, '{"detail":{"error":"x"},"message":"inference prohibited, please enter a payment method"}'),
    (K.CREDIT, 401, _openai("You exceeded your quota", "insufficient_quota", 401)),
    # content
    (
        K.CONTENT_POLICY,
        400,
        _openai(
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            None,
            "content_filter",
        ),
    ),
    (K.CONTENT_POLICY, 400, _openai("The prompt triggered the content management policy.")),
    (K.CONTENT_POLICY, 400, _openai("Request rejected", "image_generation_user_error", "moderation_blocked")),
    (K.CONTENT_POLICY, 400, _openai("Input data may contain inappropriate content.", None, "data_inspection_failed")),
    (K.CONTENT_POLICY, 400, _openai("Output data may contain inappropriate content.")),
    (K.CONTENT_POLICY, 400, '{"error":{"code":"1301","message":"unsafe"}}'),
    (
        K.CONTENT_POLICY,
        400,
        _openai(
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
            "invalid_request_error",
            "other",
        ),
    ),
    (K.CONTENT_POLICY, 400, _openai("Invalid prompt.", "invalid_request_error", "invalid_prompt")),
    (K.CONTENT_POLICY, 400, _anthropic("invalid_request_error", "Output blocked by content filtering policy")),
    (K.CONTENT_POLICY, 400, _openai("Content Exists Risk", "invalid_request_error", "invalid_request_error")),
    (
        K.CONTENT_POLICY,
        400,
        _openai("Your request was rejected as a result of our safety system.", "invalid_request_error"),
    ),
    (
        K.CONTENT_POLICY,
        403,
        '{"error":{"code":403,"message":"openai/o1 requires moderation on OpenAI. Your input was flagged for \\"violence\\".","metadata":{"reasons":["violence"]}}}',
    ),
    (K.CONTENT_POLICY, 403, '{"code":"forbidden","error":"Content violates usage guidelines."}'),
    (
        K.CONTENT_POLICY,
        None,
        '{"type":"prediction_failed","message":"NSFW content detected. Try running it again, or try a different prompt."}',
    ),
    (
        K.CONTENT_POLICY,
        400,
        '{"code":"IPInfringementSuspect","message":"Input data is suspected of being involved in IP infringement."}',
    ),
    # length
    (
        K.CONTEXT_LENGTH,
        400,
        _openai("Your messages are long", "invalid_request_error", "context_length_exceeded", "messages"),
    ),
    (
        K.CONTEXT_LENGTH,
        400,
        _openai("This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."),
    ),
    (
        K.CONTEXT_LENGTH,
        400,
        '{"code":"x","error":"This model\'s maximum prompt length is 131072 but the request contains 150000 tokens."}',
    ),
    (K.CONTEXT_LENGTH, 400, _anthropic("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum")),
    (
        K.CONTEXT_LENGTH,
        400,
        _anthropic(
            "invalid_request_error", "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000"
        ),
    ),
    (
        K.CONTEXT_LENGTH,
        400,
        '{"object":"error","message":"The decoder prompt (length 9000) is longer than the maximum model length of 8192.","code":400}',
    ),
    (
        K.CONTEXT_LENGTH,
        500,
        '{"error":{"code":500,"message":"the request exceeds the available context size","type":"server_error"}}',
    ),
    (
        K.CONTEXT_LENGTH,
        400,
        '{"error":{"code":400,"message":"the request exceeds","type":"exceed_context_size_error"}}',
    ),
    (
        K.CONTEXT_LENGTH,
        400,
        '{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}',
    ),
    (
        K.CONTEXT_LENGTH,
        400,
        _openai("Please reduce the length of the messages or completion.", "invalid_request_error"),
    ),
    (K.CONTEXT_LENGTH, 400, '{"message":"too many tokens: total number of tokens in the prompt cannot exceed 128000"}'),
    (
        K.CONTEXT_LENGTH,
        400,
        _openai(
            "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
            None,
            "invalid_parameter_error",
        ),
    ),
    (
        K.CONTEXT_LENGTH,
        422,
        '{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8192","error_type":"validation"}',
    ),
    (K.CONTEXT_LENGTH, 400, '{"error":"Trying to keep the first 5000 tokens when context the overflows."}'),
    (K.CONTEXT_LENGTH, 400, '{"error":{"code":"1261","message":"Prompt too large"}}'),
    # keys
    (
        K.CREDENTIALS,
        400,
        '{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}',
    ),
    (
        K.CREDENTIALS,
        400,
        '{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}',
    ),
    (
        K.CREDENTIALS,
        403,
        _openai(
            "Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"
        ),
    ),
    (
        K.CREDENTIALS,
        403,
        _anthropic("permission_error", "Your API key does not have permission to use the specified resource."),
    ),
    # models
    (
        K.MODEL_GONE,
        400,
        _openai(
            "The model `x` has been decommissioned and is no longer supported.",
            "invalid_request_error",
            "model_decommissioned",
        ),
    ),
    (
        K.MODEL_GONE,
        404,
        '{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}',
    ),
    (
        K.MODEL_GONE,
        400,
        '{"object":"error","message":"Invalid model: foo","type":"invalid_model","param":null,"code":"1500"}',
    ),
    (
        K.MODEL_GONE,
        400,
        _openai(
            "The requested model 'x' is not supported by any provider you have enabled.",
            "invalid_request_error",
            "model_not_supported",
        ),
    ),
    (K.MODEL_GONE, 403, _openai("Blocked", "permissions_error", "model_permission_blocked_org")),
    (K.MODEL_GONE, 400, '{"error":{"code":"1211","message":"Unknown Model"}}'),
    (K.MODEL_GONE, 400, _openai("Model Not Exist", "invalid_request_error", "invalid_request_error")),
    (K.MODEL_GONE, 400, '{"error":{"message":"foo/bar is not a valid model ID","code":400}}'),
    (K.MODEL_GONE, 404, '{"error":{"message":"No endpoints found for foo/bar.","code":404}}'),
    (K.MODEL_GONE, 400, _openai("The model gpt-9 does not exist.", "invalid_request_error")),
    (
        K.MODEL_GONE,
        400,
        _openai(
            "Your organization must be verified to stream this model.",
            "invalid_request_error",
            "unsupported_value",
            "stream",
        ),
    ),
    (K.MODEL_GONE, 404, '{"error":{"message":"nothing here"}}'),
    (K.MODEL_GONE, 410, "gone"),
    # the rest
    (K.OVERLOADED, 529, _anthropic("overloaded_error", "Overloaded")),
    (K.OVERLOADED, None, _anthropic("overloaded_error", "Overloaded")),
    (
        K.OVERLOADED,
        429,
        _openai("The engine is currently overloaded, please try again later", "engine_overloaded_error"),
    ),
    (K.OVERLOADED, None, '{"error":{"message":"x","type":"service_unavailable"}}'),
    (K.OVERLOADED, None, '{"error":{"message":"the provider ended the answer","type":"insufficient_system_resource"}}'),
    (K.OVERLOADED, 503, "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"),
    (K.OVERLOADED, 498, _openai("Flex tier capacity exceeded")),
    (K.OVERLOADED, 425, ""),
    (
        K.CALLER,
        413,
        _openai(
            "Request too large for model `x` in organization `org_01ab` on tokens per minute (TPM): Limit 6000, Requested 7000",
            "tokens",
            "rate_limit_exceeded",
        ),
    ),
    (K.CALLER, 413, _anthropic("request_too_large", "Request exceeds the maximum size")),
    (
        K.CALLER,
        404,
        _openai("Previous response with id 'x' not found.", "invalid_request_error", "previous_response_not_found"),
    ),
    (K.CALLER, 404, _openai("No such File object: file-abc", "invalid_request_error")),
    (K.CALLER, 415, _openai("Unsupported media type")),
    (K.CALLER, 422, '{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}'),
    (K.FAULT, 404, _openai("Unknown request URL: POST /v1/chat/completion", "invalid_request_error", "unknown_url")),
    (
        K.FAULT,
        404,
        "<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1><hr>nginx</body></html>",
    ),
    (K.FAULT, 404, "404 page not found"),
    (K.FAULT, 405, '{"detail":"Method Not Allowed"}'),
    (K.FAULT, 302, ""),
    (K.FAULT, 409, "{}"),
    (K.FAULT, 500, _openai("The server had an error while processing your request.", "server_error")),
    (K.FAULT, 502, "<html>Bad Gateway</html>"),
    (K.TIMEOUT, 408, ""),
    (K.TIMEOUT, 504, _anthropic("timeout_error", "Request timed out")),
    (K.TIMEOUT, 524, "error code: 524"),
    (K.CONNECTION, 521, ""),
    (K.CONNECTION, 522, ""),
    (K.CONNECTION, 523, ""),
    (K.BUSY, 429, _openai("Rate limit reached", "requests", "rate_limit_exceeded")),
    (K.BUSY, 429, _anthropic("rate_limit_error", "This request would exceed your organization's rate limit")),
    (K.BUSY, None, '{"error":{"message":"slow down","type":"rate_limit_error"}}'),
    (K.BUSY, None, '{"error":{"message":"slow down","code":"Throttling.RateQuota"}}'),
    (K.CREDENTIALS, None, '{"error":{"message":"no","type":"authentication_error"}}'),
    (K.MODEL_GONE, None, '{"error":{"message":"no","type":"not_found_error"}}'),
    (K.TIMEOUT, None, '{"error":{"message":"late","type":"timeout_error"}}'),
    (K.FAULT, None, '{"error":{"message":"oops","type":"api_error"}}'),
    (K.FAULT, None, '{"error":{"message":"oops"}}'),
    (K.CALLER, None, '{"error":{"message":"bad","type":"invalid_request_error"}}'),
    (K.CALLER, None, '{"error":{"message":"bad","type":"BadRequestError"}}'),
    # a relaying provider, with the words of the one behind it
    (
        K.CREDIT,
        400,
        json.dumps(
            {
                "error": {
                    "code": 400,
                    "message": "Provider returned error",
                    "metadata": {
                        "raw": _anthropic("invalid_request_error", "Your credit balance is too low to access the API.")
                    },
                }
            }
        ),
    ),
    (
        K.CALLER,
        400,
        json.dumps(
            {
                "error": {
                    "code": 400,
                    "message": "Provider returned error",
                    "metadata": {
                        "raw": _openai("Invalid value for 'temperature'.", "invalid_request_error", None, "temperature")
                    },
                }
            }
        ),
    ),
]
