"""Writes docs/reference/*.md from the running code (`make docs`). The same code gives the same bytes."""

import argparse
import ast
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute
from prometheus_client.metrics import MetricWrapperBase

from gatewayz import cli
from gatewayz.api import app
from gatewayz.api.inference.on_path import METHODS, VERTEX_METHODS
from gatewayz.api.inference.routes import ROUTES, Route
from gatewayz.billing import cashier
from gatewayz.catalog.records import OfferRecord
from gatewayz.catalog.seed import packaged_seed, seed_records
from gatewayz.core.errors import GatewayError, InvalidRequest
from gatewayz.core.money import usd_text
from gatewayz.core.services import BY_TOKEN
from gatewayz.dialects import CLIENT_DIALECTS, DIALECTS, OPENROUTER_DIALECTS
from gatewayz.infra.telemetry import CACHE_RATE, Metrics
from gatewayz.providers.feed_shapes import NO_FEED
from gatewayz.providers.profile import Profile, load_profiles, speaker
from gatewayz.providers.registry import default_priority
from gatewayz.settings import RESERVED_SETTINGS, SECRET_SETTINGS, setting_rows

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "gatewayz"
FOLDER = ROOT / "docs" / "reference"
_NOTE = "<!-- Written by scripts/build_reference.py (`make docs`); edit the code, not this page. -->"

# Read by `settings.read_environment`; `tests/unit/test_docs.py` holds this table against it.
ENVIRONMENT: Mapping[str, str] = {
    "APP_ENV": "`development` (default), `production`, `test` or `testing`. Production wants `GATEWAYZ_SECRET_KEY`; a ready key"
    " is made and printed in development only; outside of it, logs are JSON lines",
    "DATABASE_URL": "`sqlite:///path` or `postgresql://user:password@host/name`; default: `gatewayz.db` in `GATEWAYZ_HOME`",
    "GATEWAYZ_BOOTSTRAP_ADMIN_KEY": "`gw_live_` and 43 letters, digits, `-` or `_`: each start makes sure that an administrator"
    " with exactly this key exists",
    "GATEWAYZ_CONFIG": "the TOML file; default: `gatewayz.toml` in the working directory, if there is one",
    "GATEWAYZ_HOME": "directory for what a machine keeps: a local database and its keys, figures of workers, the journal of"
    " charges during an outage; default: `.gatewayz`",
    "GATEWAYZ_SECRET_KEY": "encryption keys, separated by commas: the first encrypts, all decrypt, the last must never change;"
    " default outside production: made once and kept in `GATEWAYZ_HOME/secret.key`",
    "PORT": "port of `gatewayz serve`; default: 8000",
    "REDIS_URL": "`redis://`, `rediss://` or `unix://`; default: none, then limits and breakers live in each process",
    "TESTING": "refused if true while `APP_ENV=production`; no other effect",
}
# Read by the libraries underneath, or handed on by `wiring`.
ENVIRONMENT_BELOW: Mapping[str, str] = {
    "HF_ENDPOINT": "address of Hugging Face or a mirror of it; default: https://huggingface.co",
    "HF_TOKEN": "sent to Hugging Face; also a key of the provider `huggingface`",
    "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY": "if one is set, calls to providers honour the proxy variables",
    "SSL_CERT_FILE": "root certificates for every outgoing TLS connection, instead of the system's",
}

# Codes that are chosen at run time: (file, the codes). Everything else is read from the source text.
_CHOSEN_CODES: Mapping[str, tuple[str, ...]] = {
    "billing/cashier.py": tuple(dict.fromkeys(code for code, *_ in cashier._REASONS.values())),
}

# Who may call a page, by the dependency that guards it. The rest are no guards.
_GUARDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "scoped_caller": lambda bound: f"a key with the scope `{bound['scope']}`",
    "permitted_caller": lambda bound: f"an administrator, or a role that holds `{bound['permission']}`",
    "admin_caller": lambda bound: "an administrator",
    "_registrar": lambda bound: "anyone, a few times an hour and address; an administrator without that limit",
    "_visitor": lambda bound: "anyone; an administrator if `breaker_admin_only` is set",
}
_NO_GUARDS = frozenset({"current_caller", "_page", "_filters"})
_SPECIAL_GUARDS = {"/metrics": "anyone; with the scrape token if `metrics_token` is set"}
_SPEAKS = {
    "openai": "OpenAI Chat Completions",
    "openai_completions": "OpenAI Completions (legacy)",
    "openai_responses": "OpenAI Responses",
    "openai_compact": "OpenAI Responses: compaction",
    "openrouter": "OpenAI Chat Completions as OpenRouter's clients know them",
    "openrouter_completions": "OpenAI Completions (legacy), with OpenRouter's errors",
    "anthropic": "Anthropic Messages",
    "gemini": "Gemini generateContent",
    "bedrock": "Bedrock Converse",
    "cohere": "Cohere chat",
    "openai_embeddings": "OpenAI Embeddings",
    "gemini_embeddings": "Gemini embedContent",
    "vertex_predict": "Vertex AI predict, for embeddings",
    "openai_moderations": "OpenAI Moderations",
    "rerank": "Rerank, in Cohere's and Jina's form",
    "openai_images": "OpenAI Images: generations",
    "openai_image_edits": "OpenAI Images: edits (a form)",
    "openai_image_variations": "OpenAI Images: variations (a form)",
    "openai_transcriptions": "OpenAI Audio: transcriptions (a form)",
    "openai_translations": "OpenAI Audio: translations (a form)",
    "transcriptions_base64": "Transcriptions of a file in JSON",
    "openai_speech": "OpenAI Audio: speech",
}


def pages() -> dict[str, str]:
    """File name -> text of every page of the reference."""
    return {
        "settings.md": settings_page(),
        "errors.md": errors_page(),
        "providers.md": providers_page(),
        "endpoints.md": endpoints_page(),
        "metrics.md": metrics_page(),
        "cli.md": cli_page(),
    }


def settings_page() -> str:
    """Every setting, the names that are kept for later versions, and the environment."""
    rows = [
        (f"`{row['name']}`", row["type"], _shown(row["default"]), _bounds(row["low"], row["high"]), _meaning(row))
        for row in setting_rows()
    ]
    return _page(
        "Settings",
        "A setting stands in `[settings]` of the configuration file under its name, or in the environment as `GATEWAYZ_`"
        " and the name in upper case (`GATEWAYZ_RPM_FREE=120`). The environment wins. Lists are written in the environment"
        " as JSON, or separated by commas. An unknown name in the file is a mistake; in the environment it is a warning."
        " Settings are read when a process starts.",
        _table(("name", "type", "default", "bounds", "meaning"), rows),
        "## Accepted without effect",
        "These names belong to abilities that this version does not have. They are accepted with a warning, so that one file"
        " can serve several versions:",
        ", ".join(f"`{name}`" for name in sorted(RESERVED_SETTINGS)) + ".",
        "## Environment",
        _table(("variable", "meaning"), [(f"`{name}`", text) for name, text in ENVIRONMENT.items()]),
        "Read by the libraries underneath:",
        _table(("variable", "meaning"), [(_names(name.split(", ")), text) for name, text in ENVIRONMENT_BELOW.items()]),
        "The variables with providers' keys and addresses are listed in [providers](providers.md).",
    )


def errors_page() -> str:
    """The tree of errors, every code, and how each dialect shows an error."""
    classes = [(kind, depth) for kind, depth in _tree(GatewayError) if kind is not GatewayError]
    tree = [
        (
            f"{'&nbsp;' * 4 * (depth - 1)}`{kind.__name__}`",
            str(kind.status),
            f"`{kind.type}`",
            f"`{kind.default_code}`",
            kind.fault,
            "yes" if kind.retry_helps else "no",
            _first_sentence(kind).partition(": ")[2],
        )
        for kind, depth in classes
    ]
    codes = [
        (f"`{code}`", ", ".join(str(status) for status in sorted(statuses)), ", ".join(sorted(rooms)))
        for code, (statuses, rooms) in sorted(_codes().items())
    ]
    example = InvalidRequest(
        "'temperature' must be between 0 and 2.", code="parameter_out_of_range", param="temperature"
    )
    shown = [
        f"{name}:\n\n```json\n{dialect.render_error(example, 'the-request-id').decode()}\n```"
        for name, dialect in (*DIALECTS.items(), ("openrouter", OPENROUTER_DIALECTS["openrouter"]))
    ]
    return _page(
        "Errors",
        "Every error, on every path, is one of these. `code` is the stable word that programs may test; the message is for"
        " people and may change. *Fault* says who can do something about it, *retry* whether the same request may succeed"
        " later.",
        _table(("class", "status", "type", "default code", "fault", "retry", "meaning"), tree),
        "## Codes",
        _table(("code", "status", "raised in"), codes),
        "## Shape",
        "An error is told in the dialect of the path (`/v1/messages`, or any path called with an `anthropic-version` header,"
        " speaks Anthropic's; `/v1beta` and Gemini's methods Google's; paths under `/api/v1` OpenRouter's; everything else"
        " OpenAI's). Further members may stand in the error object, for instance"
        " `balance_usd`, `required_usd` and `shortfall_usd` in a 402.",
        *shown,
    )


def providers_page() -> str:
    """Every packaged profile with what switches it on, and every quirk with its reason."""
    profiles = load_profiles()
    priced = _priced_models()
    rows = [
        (
            f"`{profile.slug}`",
            profile.name,
            _SPEAKS[profile.dialect] if profile.chats else "no chats",
            f"`{profile.base_url}`",
            _keys_of(profile),
            _names(
                [
                    *profile.base_url_env,
                    *(name for names in profile.variables.values() for name in names),
                    *_places_of(profile),
                ]
            ),
            str(default_priority(profile.slug, known=True)),
            str(priced.get(profile.slug, 0) if profile.chats else 0),
        )
        for profile in profiles.values()
    ]
    return _page(
        "Providers",
        "A provider is switched on by its key in one of its variables, or by a `[[providers]]` entry with its slug. Providers"
        " whose key is optional are local servers: they are switched on by an address variable or by an entry. *Priority*:"
        " lower comes first where nothing else decides. *Models*: chat models with a price for this provider in the packaged"
        " catalog; local servers are asked for theirs, and others can be added with `[[models]]`.",
        _table(("slug", "name", "speaks", "address", "key", "address variables", "priority", "models"), rows),
        "Besides these, `sim` is the simulated provider inside the process (setting `simulated_provider`).",
        "## Model lists",
        "Where the sync reads a provider's models, in which form, and in which unit its prices are (*none*: not read)."
        " Providers that are not in this table are read at `/models` below their address, in the form of their dialect, without"
        " prices.",
        _table(
            ("provider", "list", "form", "unit of prices", "read from"),
            [
                (
                    f"`{profile.slug}`",
                    "-" if profile.feed.shape == NO_FEED else f"`{profile.feed.path}`",
                    profile.feed.shape,
                    profile.feed.unit,
                    profile.feed_source or "",
                )
                for profile in profiles.values()
                if profile.feed is not None
            ],
        ),
        "## Services beside chats",
        "What else is asked for there, in which form and where. A provider of the dialect `openai` without a packaged profile"
        " is taken to offer all of them at OpenAI's own paths; `services` in `[[providers]]` narrows that.",
        _table(
            ("slug", "service", "form", "path", "source"),
            [
                (f"`{profile.slug}`", f"`{service}`", f"`{rule.dialect}`", f"`{rule.path}`", rule.source)
                for profile in profiles.values()
                for service, rule in profile.ways.items()
            ],
        ),
        "## Searching the web",
        "Which models search the web if they are asked to, in which form, and what is billed at which list price in USD (-:"
        " none is known, so `price_web_search_usd` is needed).",
        _table(
            ("slug", "form", "models", "billed", "price", "source"),
            [
                (
                    f"`{profile.slug}`",
                    f"`{search.form}`",
                    f"`{search.models.pattern}`" if search.models else "all",
                    search.counts,
                    "-" if search.price_nano_usd is None else usd_text(search.price_nano_usd),
                    search.source,
                )
                for profile in profiles.values()
                for search in profile.searches
            ],
        ),
        "## What is left there",
        "Where a provider tells how much credit is left, where that is known. With the key of inference, unless the note"
        " names another. Nothing here asks for it yet.",
        _table(
            ("slug", "address", "where it stands", "unit", "note"),
            [
                (
                    f"`{profile.slug}`",
                    f"`{profile.balance.url}`",
                    profile.balance.field or "-",
                    profile.balance.unit or "-",
                    profile.balance.note,
                )
                for profile in profiles.values()
                if profile.balance is not None
            ],
        ),
        "## Quirks",
        "How a provider departs from its dialect. Each can be changed per provider under `[providers.quirks]`.",
        *(_quirks(profile) for profile in profiles.values() if profile.quirk_reasons),
    )


def _keys_of(profile: Profile) -> str:
    account = f"{_names(profile.account.names)} (service account)" if profile.account is not None else ""
    aws = (
        " with ".join(_names(names) for names in (profile.aws.access_key, profile.aws.secret_key))
        if profile.aws
        else ""
    )
    keys = ", ".join(part for part in (account, _names(profile.env) if profile.env else "", aws) if part)
    asked = " and an entry in the configuration" if profile.on_request else ""
    return keys + asked + ("" if profile.needs_key else " (optional)")


def _places_of(profile: Profile) -> tuple[str, ...]:
    return (*profile.account.project, *profile.account.location) if profile.account is not None else ()


def _is_for_strangers(route: Route) -> bool:
    return (
        not (route.counts or route.estimates)
        and (CLIENT_DIALECTS | OPENROUTER_DIALECTS)[route.dialect].service in BY_TOKEN
    )


def endpoints_page() -> str:
    """Every route with who may call it."""
    inference = [
        (
            "POST",
            f"`{path}`",
            "a key with the scope `inference`" + ("; anyone for free models" if _is_for_strangers(route) else ""),
            _speaks(route),
        )
        for path, route in (
            *ROUTES.items(),
            *((route.endpoint, route) for route in (*METHODS.values(), *VERTEX_METHODS.values())),
        )
    ]
    groups: dict[str, list[tuple[str, ...]]] = {"public": [], "account": [], "admin": []}
    for module in app._ROUTERS:
        group = module.__name__.split(".")[-2]
        for route in module.router().routes:
            groups.setdefault(group, []).append(_route_row(route))
    groups["public"].append(("GET", "`/openapi.json`", "anyone", "The OpenAPI description of every route."))
    head = ("method", "path", "who", "answer")
    sections = [
        part
        for name, rows in groups.items()
        for part in (f"## {name.capitalize()}", _table(head, sorted(rows, key=lambda row: (row[1].strip("`"), row[0]))))
    ]
    return _page(
        "Endpoints",
        "`GET /openapi.json` describes fields and answers in full. Keys travel as `Authorization: Bearer gw_…` or"
        " `x-api-key: gw_…`, and to Gemini's paths as `x-goog-api-key: gw_…` or `?key=gw_…`, too.",
        "## Inference",
        _table(("method", "path", "who", "speaks"), inference),
        *sections,
    )


def _speaks(route: Route) -> str:
    if route.estimates:
        return "what a request of any dialect would cost"
    return _SPEAKS[route.dialect] + (": how many tokens a request has" if route.counts else "")


def metrics_page() -> str:
    """Every metric family."""
    found = [metric for metric in vars(Metrics()).values() if isinstance(metric, MetricWrapperBase)]
    rows = [
        (
            f"`{metric._name}_total`" if metric._type == "counter" else f"`{metric._name}`",
            str(metric._type),
            _names(metric._labelnames),
            metric._documentation,
        )
        for metric in found
    ]
    rows.append((f"`{CACHE_RATE.name}`", "gauge", _names(CACHE_RATE.labels), CACHE_RATE.meaning))
    return _page(
        "Metrics",
        "`GET /metrics` answers in Prometheus text, or OpenMetrics if that is accepted. With several workers the figures of all"
        " are joined. Times are seconds, money is USD.",
        _table(("name", "type", "labels", "meaning"), rows),
    )


def cli_page() -> str:
    """Every command with its options."""
    sections = []
    for words, parser, meaning in _commands(cli._parser()):
        arguments = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
        section = f"## {' '.join(words)}\n\n{meaning[:1].upper()}{meaning[1:]}."
        if arguments:
            rows = [(_argument(action), action.help or "", _argument_default(action)) for action in arguments]
            section += "\n\n" + _table(("argument", "meaning", "default"), rows)
        sections.append(section)
    return _page(
        "Command line",
        "`gatewayz COMMAND`, or `python -m gatewayz COMMAND`. Exit codes: 0 well, 1 failed, 2 wrongly used.",
        *sections,
    )


def _page(title: str, *blocks: str) -> str:
    return "\n\n".join([f"# {title}", _NOTE, *blocks]) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _shown(default: Any) -> str:
    return f"`{default:g}`" if isinstance(default, float) else f"`{json.dumps(default)}`"


def _bounds(low: float | None, high: float | None) -> str:
    if low is None:
        return ""
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


def _meaning(row: Mapping[str, Any]) -> str:
    return str(row["meaning"]) + (" (secret)" if row["name"] in SECRET_SETTINGS else "")


def _tree(kind: type[GatewayError], depth: int = 0) -> Iterator[tuple[type[GatewayError], int]]:
    yield kind, depth
    for child in kind.__subclasses__():
        yield from _tree(child, depth + 1)


def _codes() -> dict[str, tuple[set[int], set[str]]]:
    """Code -> the statuses it comes with and the rooms that raise it. Raises ValueError for a code nobody can read."""
    kinds = {kind.__name__: kind for kind, _ in _tree(GatewayError)}
    found: dict[str, tuple[set[int], set[str]]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            kind = kinds.get(_called(call))
            if kind is None or not isinstance(call, ast.Call):
                continue
            for code in _codes_of(call, kind, name):
                statuses, rooms = found.setdefault(code, (set(), set()))
                statuses.add(kind.status)
                rooms.add(name.partition("/")[0].removesuffix(".py"))
    return found


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return (
        node.func.id
        if isinstance(node.func, ast.Name)
        else node.func.attr
        if isinstance(node.func, ast.Attribute)
        else ""
    )


def _codes_of(call: ast.Call, kind: type[GatewayError], name: str) -> Iterator[str]:
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "code"), None)
    if given is None:
        yield kind.default_code
        return
    literals = [part.value for part in ast.walk(given) if isinstance(part, ast.Constant)]
    codes = [value for value in literals if isinstance(value, str)] or list(_CHOSEN_CODES.get(name, ()))
    if not codes:
        raise ValueError(f"{name}:{call.lineno}: the code is chosen at run time; add it to _CHOSEN_CODES")
    yield from codes
    if None in literals:
        yield kind.default_code


def _first_sentence(kind: type) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _priced_models() -> dict[str, int]:
    """Provider -> chat models of the packaged seed with a price there."""
    counts: dict[str, int] = {}
    for model in seed_records(packaged_seed()):
        priced = [offer for offer in model.offers if _is_priced(offer)] if model.kind == "chat" else []
        for slug in {speaker(offer.provider, offer.native_id) for offer in priced}:
            if slug is not None:
                counts[slug] = counts.get(slug, 0) + 1
    return counts


def _is_priced(offer: OfferRecord) -> bool:
    price = offer.price
    return offer.active and not offer.suspect and price is not None and bool(price.prompt or price.completion)


def _quirks(profile: Profile) -> str:
    rows = [
        (f"`{name}`", f"`{_quirk_value(getattr(profile.quirks, name))}`", reason)
        for name, reason in profile.quirk_reasons.items()
    ]
    return f"### {profile.slug}\n\n" + _table(("quirk", "value", "reason"), rows)


def _quirk_value(value: Any) -> str:
    if isinstance(value, frozenset):
        return json.dumps(sorted(value))
    return json.dumps(value)


def _route_row(route: APIRoute) -> tuple[str, str, str, str]:
    doc = " ".join((inspect.getdoc(route.endpoint) or "").partition("\n\n")[0].split())
    alias = "" if route.include_in_schema else " (another path for the same page)"
    return ", ".join(sorted(route.methods or ())), f"`{route.path}`", _guard(route), doc + alias


def _guard(route: APIRoute) -> str:
    """Who may call it. Raises ValueError for a dependency that `_GUARDS` does not explain."""
    if route.path in _SPECIAL_GUARDS:
        return _SPECIAL_GUARDS[route.path]
    guards = []
    waiting = list(route.dependant.dependencies)
    while waiting:
        dependant = waiting.pop()
        waiting += dependant.dependencies
        call: Any = dependant.call
        if call.__name__ in _GUARDS:
            guards.append(_GUARDS[call.__name__](inspect.getclosurevars(call).nonlocals))
        elif call.__name__ not in _NO_GUARDS:
            raise ValueError(f"{route.path}: what does {call.__name__} demand? Add it to _GUARDS")
    return ", ".join(guards) or "anyone"


def _commands(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = (), meaning: str = ""
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser, str]]:
    """Every command that can be run: its words, its parser, its help."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield words, parser, meaning
    for action in below:
        helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for word, command in action.choices.items():
            yield from _commands(command, (*words, word), helps.get(word, ""))


def _argument(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else f" {'|'.join(action.choices) if action.choices else action.dest.upper()}"
    return f"`{'`, `'.join(option + value for option in action.option_strings) or action.dest.upper()}`"


def _argument_default(action: argparse.Action) -> str:
    if action.required or not action.option_strings:
        return "required"
    return f"`{action.default}`" if action.default not in (None, False) else ""


# Pages of the folder that other programs write.
ELSEWHERE = frozenset({"conformance.md"})


def main() -> None:
    """Writes the pages and removes those that are no longer made."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for stale in FOLDER.glob("*.md"):
        if stale.name not in made and stale.name not in ELSEWHERE:
            stale.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(made)} pages in {FOLDER.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
