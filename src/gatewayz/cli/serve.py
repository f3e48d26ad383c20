"""`gatewayz serve` and `gatewayz migrate`."""

import argparse
import asyncio
import sys

from gatewayz import __version__, worker
from gatewayz.infra.telemetry import configure_logging
from gatewayz.settings import read_environment
from gatewayz.wiring.configuration import Configuration, load_configuration
from gatewayz.wiring.prepare import prepare, prepare_apart


def serve(options: argparse.Namespace) -> int:
    """Prepares the database once, then serves until told to stop."""
    environment = read_environment()
    configuration = load_configuration(environment)
    configure_logging(configuration.settings.log_level, as_json=environment.app_env != "development")
    for warning in configuration.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if options.workers < 1:
        print("--workers must be at least 1", file=sys.stderr)
        return 2
    serving = options.serving if options.serving is not None else min(options.workers, worker.cores())
    if not 1 <= serving <= options.workers:
        print("--serving must be between 1 and the number of --workers", file=sys.stderr)
        return 2
    port = options.port if options.port is not None else environment.port
    try:
        listener = worker.bind(options.host, port)
    except OSError as error:
        print(
            f"Cannot listen on {options.host}:{port}: {error.strerror}. Choose another with --port or PORT.",
            file=sys.stderr,
        )
        return 1
    port = listener.getsockname()[1]
    prepared = prepare_apart(configuration)
    if options.workers > 1 and environment.redis_url is None:
        print("warning: several workers without REDIS_URL each count rate limits on their own", file=sys.stderr)
    # From here on a visitor waits in the queue instead of being refused: the lines below may be pasted at once.
    listener.listen(worker.BACKLOG)
    _welcome(configuration, port, prepared.ready_key)
    if serving < options.workers:
        print(f"{serving} of {options.workers} workers serve; the others step in when one of them ends", flush=True)
    worker.run(worker.Listen(options.host, port, options.workers, serving), listener, environment.home)
    return 0


def migrate(options: argparse.Namespace) -> int:
    """Brings the database, the catalog and the configured models up to date."""
    configuration = load_configuration(read_environment())
    asyncio.run(prepare(configuration))
    print("The database is up to date.")
    return 0


def _welcome(configuration: Configuration, port: int, key: str | None) -> None:
    """Says where the gateway is; in development also how to send the first request, ready to be pasted."""
    base = f"http://localhost:{port}"
    real = [provider.slug for provider in configuration.providers.all() if not provider.simulated]
    print(f"\ngatewayz {__version__} listens on {base}")
    print(f"providers: {', '.join(real) if real else 'none configured'}", end="")
    print("" if real else " (the simulated provider answers; set OPENAI_API_KEY, ANTHROPIC_API_KEY, … for real ones)")
    if key is None:
        sys.stdout.flush()
        return
    model = "sim/chat" if not real else _first_model(configuration)
    print(f"ready key: {key}\n")
    print("first request:")
    print(
        f"  curl {base}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
        f""" -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'\n"""
    )
    print("with the OpenAI SDK for Python (pip install openai):")
    print("  from openai import OpenAI")
    print(f'  client = OpenAI(base_url="{base}/v1", api_key="{key}")')
    print(
        f'  answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Hello!"}}])'
    )
    print("  print(answer.choices[0].message.content)\n")
    sys.stdout.flush()


# A small, cheap model of each vendor, for the first request with a real key.
_FIRST_MODELS = {
    "openai": "openai/gpt-4o-mini",
    "anthropic": "anthropic/claude-haiku-4.5",
    "openrouter": "openai/gpt-4o-mini",
    "groq": "meta-llama/llama-3.3-70b-instruct",
    "deepseek": "deepseek/deepseek-chat",
}


def _first_model(configuration: Configuration) -> str:
    if configuration.models:
        return configuration.models[0].id
    for provider in configuration.providers.all():
        if provider.slug in _FIRST_MODELS:
            return _FIRST_MODELS[provider.slug]
    return "<a model of GET /v1/models>"
