"""`gatewayz doctor`: what is wrong with this installation, and how to mend it."""

import argparse
import asyncio
import json
import platform
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from gatewayz.infra.clock import SystemClock
from gatewayz.infra.db import Database
from gatewayz.infra.redis import RedisLink
from gatewayz.providers.profile import load_profiles
from gatewayz.settings import ConfigurationError, Environment, read_environment
from gatewayz.wiring.configuration import Configuration, load_configuration
from gatewayz.wiring.prepare import current_revision, newest_revision

Grade = Literal["ok", "note", "wrong"]
_MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how it is, and what to do if it is not well."""

    grade: Grade
    what: str
    remedy: str = ""


def doctor(options: argparse.Namespace) -> int:
    """Looks at everything and prints it; exit code 1 if anything is wrong."""
    findings = [Finding("ok", f"Python {platform.python_version()}")]
    try:
        environment = read_environment()
        configuration = load_configuration(environment)
    except ConfigurationError as error:
        findings += [Finding("wrong", f"configuration: {mistake}", "mend that line") for mistake in error.mistakes]
        return _report(findings)
    findings += [Finding("note", warning) for warning in configuration.warnings]
    findings += _secrets(environment)
    findings += _providers(configuration)
    findings += asyncio.run(_services(environment))
    port = options.port if options.port is not None else environment.port
    findings.append(_running(port))
    return _report(findings)


def _report(findings: list[Finding]) -> int:
    for finding in findings:
        print(f"{_MARKS[finding.grade]} {finding.what}")
        if finding.remedy:
            print(f"        -> {finding.remedy}")
    wrong = sum(finding.grade == "wrong" for finding in findings)
    print(f"\n{wrong} thing(s) wrong" if wrong else "\nnothing is wrong")
    return 1 if wrong else 0


def _secrets(environment: Environment) -> Iterator[Finding]:
    path = environment.home / "secret.key"
    if environment.secret_keys:
        yield Finding("ok", f"GATEWAYZ_SECRET_KEY holds {len(environment.secret_keys)} key(s)")
    elif path.exists():
        yield Finding("ok", f"encryption key in {path}", "back it up: without it no stored key can be read")
    else:
        yield Finding("note", f"no encryption key yet; one is made at the first start in {path}")
    for secret in ("secret.key", "ready.key"):
        kept = environment.home / secret
        if kept.exists() and stat.S_IMODE(kept.stat().st_mode) & 0o077:
            yield Finding("wrong", f"{kept} can be read by others", f"chmod 600 {kept}")


def _providers(configuration: Configuration) -> Iterator[Finding]:
    active = configuration.providers.all()
    real = [provider.slug for provider in active if not provider.simulated]
    if real:
        yield Finding("ok", f"providers with credentials: {', '.join(real)}")
    elif active:
        yield Finding(
            "note",
            "no provider has credentials; the simulated provider answers",
            "set OPENAI_API_KEY, ANTHROPIC_API_KEY, OPENROUTER_API_KEY, … or write a [[providers]] entry",
        )
    else:
        yield Finding(
            "wrong",
            "no provider can be called: every inference request is refused",
            'set a provider\'s key, or simulated_provider = "on" to try the gateway without one',
        )
    configured = {provider.slug for provider in configuration.configured}
    profiles = load_profiles()
    for slug, reason in configuration.providers.inactive():
        half_set = slug in profiles and any(
            configuration.environment.variables.get(name) for name in profiles[slug].env
        )
        if slug in configured or half_set:
            yield Finding(
                "wrong", f"provider {slug} is not active: {reason}", "mend its entry or its environment variables"
            )


async def _services(environment: Environment) -> list[Finding]:
    findings = []
    database = Database(environment.database_url)
    shown = database.url.render_as_string(hide_password=True)
    try:
        if database.is_sqlite and not await asyncio.to_thread(Path(database.sqlite_path).exists):
            findings.append(Finding("note", f"database {shown} does not exist yet; it is made at the first start"))
        else:
            await database.ping()
            findings.append(Finding("ok", f"database {shown} answers"))
            findings.append(await _revision(database))
    except (sa.exc.SQLAlchemyError, OSError, TimeoutError) as error:
        findings.append(
            Finding(
                "wrong", f"database {shown}: {type(error).__name__}", "check DATABASE_URL, and that the server runs"
            )
        )
    finally:
        await database.close()
    if environment.redis_url is None:
        findings.append(Finding("ok", "no Redis: limits and breakers live in each process"))
        return findings
    redis = RedisLink(environment.redis_url, SystemClock())
    state = await redis.start()
    await redis.close()
    if state == "up":
        findings.append(Finding("ok", "Redis answers"))
    else:
        remedy = "check REDIS_URL; the gateway works without it, with limits per process"
        findings.append(Finding("wrong", "Redis does not answer", remedy))
    return findings


async def _revision(database: Database) -> Finding:
    found, newest = await current_revision(database), newest_revision()
    if found == newest:
        return Finding("ok", f"database shape {found}")
    return Finding("wrong", f"database shape {found}, this version wants {newest}", "run `gatewayz migrate`")


def _running(port: int) -> Finding:
    url = f"http://127.0.0.1:{port}/health"
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            health = json.load(reply)
    except (urllib.error.URLError, OSError, ValueError):
        return Finding("note", f"no gateway answers on port {port}")
    if health.get("status") == "healthy":
        return Finding("ok", f"a gateway {health.get('version')} on port {port} is healthy")
    return Finding("wrong", f"the gateway on port {port} says: {health.get('degraded')}", f"see {url}")
