"""`gatewayz providers list|check`."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

from gatewayz.catalog import Catalog
from gatewayz.cli.provider_check import Checker, Report, Step
from gatewayz.cli.provider_trial import ANSWER_TOKENS, Trial, choose
from gatewayz.core.money import usd_number, usd_text
from gatewayz.infra.http_client import Timeouts
from gatewayz.providers.addresses import request_url
from gatewayz.providers.client import Upstreams, name_at
from gatewayz.providers.profile import Profile, Provider, load_profiles
from gatewayz.providers.simulated import Simulated
from gatewayz.settings import read_environment
from gatewayz.wiring.configuration import Configuration, load_configuration
from gatewayz.wiring.house import choose_transport, uses_proxy
from gatewayz.wiring.scratch import scratch_catalog

_MARKS = {True: "ok   ", None: "-    ", False: "WRONG"}
_AT_ONCE = 4
T = TypeVar("T")


def list_providers(options: argparse.Namespace) -> int:
    """Prints which providers can be called, in the order in which they are asked, and why the others cannot."""
    configuration = load_configuration(read_environment())
    active, inactive = configuration.providers.all(), configuration.providers.inactive()
    if options.json:
        told = {"active": [_shown(provider) for provider in active], "inactive": _inactive(inactive)}
        print(json.dumps(told, indent=2))
        return 0
    for provider in active:
        places = [provider.location, *(place.location for place in provider.elsewhere)] if provider.location else []
        at = f" at {', '.join(str(place) for place in places)}" if places else ""
        print(f"{provider.slug:<24} {provider.priority:>5}  {provider.dialect:<9}  {provider.url}{at}")
    print(f"{len(active)} active (slug, priority, dialect, address); {len(inactive)} are not:\n")
    for slug, reason in inactive:
        print(f"{slug:<24} {reason}")
    return 0


def check_providers(options: argparse.Namespace) -> int:
    """Tries providers for real. 0 if all of them passed, 1 if not, 2 for a slug that nobody has."""
    configuration = load_configuration(read_environment())
    inactive = dict(configuration.providers.inactive())
    wanted = list(dict.fromkeys(options.slug))
    unknown = [slug for slug in wanted if configuration.providers.get(slug) is None and slug not in inactive]
    if unknown:
        print(f"There is no provider {', '.join(unknown)}; `gatewayz providers list` names all.", file=sys.stderr)
        return 2
    chosen = [provider for provider in configuration.providers.all() if _is_meant(provider, wanted)]
    broken = {slug: reason for slug, reason in inactive.items() if slug in wanted or _was_meant(slug, configuration)}
    if wanted:
        broken = {slug: reason for slug, reason in broken.items() if slug in wanted}
    return asyncio.run(_check(options, configuration, chosen, broken))


def _is_meant(provider: Provider, wanted: list[str]) -> bool:
    return provider.slug in wanted if wanted else not provider.simulated


def _was_meant(slug: str, configuration: Configuration) -> bool:
    """Whether the operator has begun to configure a provider that is not active."""
    if any(provider.slug == slug for provider in configuration.configured):
        return True
    profile: Profile | None = load_profiles().get(slug)
    if profile is None or profile.on_request:
        return False
    variables = configuration.environment.variables
    accounts = profile.account.names if profile.account is not None else ()
    return any(variables.get(name, "").strip() for name in (*profile.env, *accounts, *profile.base_url_env))


async def _check(
    options: argparse.Namespace, configuration: Configuration, chosen: list[Provider], broken: dict[str, str]
) -> int:
    catalog = await scratch_catalog(configuration)
    places = [place for provider in chosen for place in (provider, *provider.elsewhere)]
    others = len(configuration.providers.inactive()) - len(broken)
    if not options.json:
        _print_beforehand(places, broken, others)
    if options.dry_run:
        trials = [trial for place in places if (trial := choose(catalog, place, options.model)) is not None]
        _print_requests(trials, as_json=options.json)
        return 0 if not broken else 1
    reports, most = await _reports(options, configuration, catalog, places)
    passed = bool(reports) and not broken and all(report.ok for report in reports)
    if options.json:
        told = {
            "ok": passed,
            "at_most_usd": None if most is None else usd_number(most),
            "providers": [_told(report) for report in reports],
            "inactive": _inactive(broken.items()),
        }
        print(json.dumps(told, indent=2))
    elif reports or broken:
        failed = sum(not report.ok for report in reports) + len(broken)
        print(f"\n{failed} of {len(reports) + len(broken)} failed" if failed else f"\nall {len(reports)} passed")
    return 0 if passed else 1


async def _reports(
    options: argparse.Namespace, configuration: Configuration, catalog: Catalog, places: list[Provider]
) -> tuple[list[Report], int | None]:
    """Looks at all, says what asking will cost, asks; and that most, in nano-USD."""
    settings = configuration.settings
    transport = choose_transport(settings, configuration.environment.variables)
    timeouts = Timeouts(settings.connect_timeout_s, options.timeout, options.timeout)
    upstreams = Upstreams(transport, Simulated(time.time), timeouts)
    checker = Checker(
        upstreams, transport, catalog, wanted=options.model, limit_s=options.timeout, timeouts=timeouts,
        through_proxy=uses_proxy(configuration.environment.variables),
    )  # fmt: skip
    turns = asyncio.Semaphore(_AT_ONCE)

    async def in_turn(step: Awaitable[T]) -> T:
        async with turns:
            return await step

    try:
        reports = await asyncio.gather(*(in_turn(checker.look(place)) for place in places))
        trials = [report.trial for report in reports if report.trial is not None]
        most = _most(trials)
        if trials and not options.json:
            print(f"{_announced(len(trials), most)}; sending them now", flush=True)
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(in_turn(checker.ask(report))) for report in reports]
            for report, task in zip(reports, asking, strict=True):
                await task
                if not options.json:
                    _print_report(report)
    finally:
        await transport.close()
    return reports, most


def _most(trials: Iterable[Trial]) -> int | None:
    """Nano-USD that all chats cost at most; None if a price is not known."""
    costs = [trial.most for trial in trials]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def _announced(count: int, most: int | None) -> str:
    cost = f"at most {usd_text(most)} USD altogether" if most is not None else "the price of a model is not known"
    return f"Two chats of at most {ANSWER_TOKENS} tokens to each of {count}: {cost}"


def _print_beforehand(places: list[Provider], broken: dict[str, str], others: int) -> None:
    for slug, reason in broken.items():
        print(f"WRONG {slug} is not active: {reason}")
    if others:
        print(f"{others} other providers are not configured (`gatewayz providers list` says why)")
    if not places:
        print("No provider can be called: set a provider's key, or write a [[providers]] entry.")
        return
    print(f"To be tried: {', '.join(dict.fromkeys(place.slug for place in places))}", flush=True)


def _print_report(report: Report) -> None:
    provider = report.provider
    at = f" at {provider.location}" if provider.location else ""
    print(f"\n{provider.slug}{at}  {provider.url}")
    for step in report.steps:
        took = f", {step.took_s * 1000:.0f} ms" if step.took_s is not None else ""
        print(f"  {_MARKS[step.ok]} {step.name:<8} {step.detail}{took}")
        if step.remedy:
            print(f"           -> {step.remedy}")
    if report.cost is not None:
        print(f"        cost     {usd_text(report.cost)} USD", flush=True)


def _requests(trial: Trial) -> list[dict[str, Any]]:
    place = trial.provider
    return [
        {
            "provider": place.slug,
            "location": place.location,
            "method": "POST",
            "url": request_url(place.url, name_at(place, trial.target.native_id), stream=stream),
            "headers": sorted({*place.headers, *(("authorization",) if place.account or place.aws else ())}),
            "body": json.loads(trial.body(stream=stream)),
        }
        for stream in (False, True)
    ]


def _print_requests(trials: list[Trial], *, as_json: bool) -> None:
    most = _most(trials)
    requests = [request for trial in trials for request in _requests(trial)]
    if as_json:
        told = {"at_most_usd": None if most is None else usd_number(most), "requests": requests}
        print(json.dumps(told, indent=2))
        return
    for request in requests:
        print(f"\n{request['method']} {request['url']}\n  headers: {', '.join(request['headers'])}")
        print(f"  {json.dumps(request['body'], ensure_ascii=False)}")
    print(f"\n{_announced(len(trials), most)}. Nothing was sent.")
    print("Without --dry-run the list of each provider is asked for first, and a model is taken that stands in it.")


def _shown(provider: Provider) -> dict[str, Any]:
    places = [place.location for place in (provider, *provider.elsewhere) if place.location is not None]
    return {
        "slug": provider.slug,
        "name": provider.name,
        "dialect": provider.dialect,
        "address": provider.url,
        "locations": places,
        "priority": provider.priority,
        "by": "itself" if provider.simulated else "configuration" if provider.configured else "environment",
    }


def _inactive(found: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"slug": slug, "reason": reason} for slug, reason in found]


def _told(report: Report) -> dict[str, Any]:
    first = report.first_token_s
    return {
        "slug": report.provider.slug,
        "location": report.provider.location,
        "address": report.provider.url,
        "ok": report.ok,
        "model": report.trial.target.native_id if report.trial is not None else None,
        "first_token_ms": None if first is None else round(first * 1000),
        "usage_reported": report.usage_reported,
        "cost_usd": None if report.cost is None else usd_number(report.cost),
        "steps": [_told_step(step) for step in report.steps],
    }


def _told_step(step: Step) -> dict[str, Any]:
    took = None if step.took_s is None else round(step.took_s * 1000)
    return {"name": step.name, "ok": step.ok, "took_ms": took, "detail": step.detail, "remedy": step.remedy or None}
