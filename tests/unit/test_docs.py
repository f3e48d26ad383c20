"""The documentation is true: generated pages are current, everything is listed, links lead somewhere, commands and files in examples work."""

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.metrics import MetricWrapperBase

import gatewayz.accounts.tables
import gatewayz.billing.tables
import gatewayz.catalog.tables
import gatewayz.infra.tables
import gatewayz.operations.tables  # noqa: F401  (tables register themselves)
from gatewayz import cli
from gatewayz.api import app
from gatewayz.api.inference.on_path import METHODS, VERTEX_METHODS
from gatewayz.api.inference.routes import ROUTES
from gatewayz.catalog import config as models
from gatewayz.core import errors
from gatewayz.infra.db import metadata
from gatewayz.infra.telemetry import Metrics
from gatewayz.providers import config as providers
from gatewayz.providers.profile import load_profiles
from gatewayz.settings import RESERVED_SETTINGS, Settings, read_environment
from gatewayz.wiring.configuration import load_configuration
from scripts import build_reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "gatewayz"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]

# Layers of the import contract that share a page.
ROOM_PAGES = {"asgi": "process", "worker": "process"}


def reference(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")


def shown(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """(page, text) of every fenced block in a language."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S):
            yield shown(page), found[1]


# --- the generated reference


def test_the_reference_is_current() -> None:
    made = build_reference.pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md")}
    there.pop("conformance.md")  # the conformance suite writes and compares its own page
    assert there.keys() == made.keys(), "run `make docs`"
    for name, text in made.items():
        assert there[name] == text, f"docs/reference/{name} is not current: run `make docs`"


def test_the_reference_is_deterministic() -> None:
    assert build_reference.pages() == build_reference.pages()


def test_every_setting_is_listed() -> None:
    page = reference("settings")
    missing = [item.name for item in fields(Settings) if f"| `{item.name}` |" not in page]
    assert not missing
    assert not [name for name in RESERVED_SETTINGS if f"`{name}`" not in page]


def test_every_variable_of_the_environment_is_listed() -> None:
    tree = ast.parse((SOURCE / "settings.py").read_text(encoding="utf-8"))
    reader = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "read_environment")
    read = {
        call.args[0].value
        for call in ast.walk(reader)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "get"
        if isinstance(call.args[0], ast.Constant)
    }
    assert read == build_reference.ENVIRONMENT.keys()
    assert not [name for name in read if f"| `{name}` |" not in reference("settings")]


def test_every_error_is_listed() -> None:
    page = reference("errors")
    kinds = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.GatewayError)
    }
    assert not [kind.__name__ for kind in kinds - {errors.GatewayError} if f"`{kind.__name__}`" not in page]
    written = {
        code
        for path in SOURCE.rglob("*.py")
        for code in re.findall(r'\bcode="([a-z_]+)"', path.read_text(encoding="utf-8"))
    }
    assert written
    assert not [code for code in written if f"| `{code}` |" not in page]


def test_every_provider_and_quirk_is_listed() -> None:
    page = reference("providers")
    for profile in load_profiles().values():
        assert f"| `{profile.slug}` | {profile.name} |" in page
        for name in profile.quirk_reasons:
            assert f"| `{name}` |" in page.partition(f"\n### {profile.slug}\n")[2].partition("\n### ")[0]


def test_every_route_is_listed() -> None:
    page = reference("endpoints")
    paths = [*ROUTES, *(route.endpoint for route in (*METHODS.values(), *VERTEX_METHODS.values()))]
    routes = [(method, path) for path in paths for method in ("POST",)]
    for module in app._ROUTERS:
        routes += [(method, route.path) for route in module.router().routes for method in route.methods]
    assert len(routes) > 40
    assert not [(method, path) for method, path in routes if f"| {method} | `{path}` |" not in page]


def test_every_metric_is_listed() -> None:
    page = reference("metrics")
    families = {metric._name for metric in vars(Metrics()).values() if isinstance(metric, MetricWrapperBase)}
    families -= {name for name in families if f"| `{name}` |" in page or f"| `{name}_total` |" in page}
    assert not families


def test_every_command_is_there() -> None:
    named = [parser.get_default("run") for _, parser, _ in build_reference._commands(cli._parser())]
    assert len(named) > 10
    assert all(callable(cli.command_named(name)) for name in named)


def test_every_command_is_listed() -> None:
    page = reference("cli")
    commands = [" ".join(words) for words, _, _ in build_reference._commands(cli._parser())]
    assert {"serve", "keys create", "config apply", "doctor"} <= set(commands)
    assert not [command for command in commands if f"\n## {command}\n" not in page]


# --- rooms and decisions


def test_every_room_has_a_page() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    layers = {room.strip() for layer in contract["layers"] for room in layer.split("|")}
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    rooms = {ROOM_PAGES.get(name, name) for name in layers | packages}
    pages = {path.stem for path in (DOCS / "rooms").glob("*.md")} - {"README"}
    assert pages == rooms
    overview = (DOCS / "rooms" / "README.md").read_text(encoding="utf-8")
    assert not [room for room in rooms if f"]({room}.md)" not in overview]


def test_every_table_is_on_a_rooms_page() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "rooms").glob("*.md"))
    assert not [name for name in metadata.tables if f"`{name}`" not in text]


def test_every_announced_topic_is_in_the_table_of_changes() -> None:
    overview = (DOCS / "rooms" / "README.md").read_text(encoding="utf-8")
    topics: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        topics |= set(re.findall(r'\bannounce\(connection, "(\w+)"', text))
        topics |= set(re.findall(r'\bfeed\.on\("(\w+)"', text)) | set(re.findall(r'^TOPIC = "(\w+)"', text, re.M))
    assert topics >= {"key", "user", "catalog", "config"}
    assert not [topic for topic in topics if f"| `{topic}` |" not in overview]


def test_decisions_are_numbered_and_whole() -> None:
    decisions = sorted((DOCS / "adr").glob("*.md"))
    assert [path.name[:5] for path in decisions] == [f"{number:04d}-" for number in range(1, len(decisions) + 1)]
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]}. ")
        assert re.findall(r"^## (.*)$", text, re.M) == ["Context", "Decision", "Consequences"], path.name
        assert re.search(r"^Status: (accepted|superseded by)", text, re.M), path.name
        assert f"](adr/{path.name})" in index


# --- links and texts


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if urlsplit(target).scheme:
                continue
            name, _, anchor = target.partition("#")
            there = (page.parent / name).resolve() if name else page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                broken.append(f"{shown(page)}: {target}")
    assert not broken


def anchors(page: Path) -> set[str]:
    """The anchors that headings have on code hosts."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_guides_are_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert not [path.name for path in (DOCS / "guides").glob("*.md") if f"](guides/{path.name})" not in index]


def test_no_path_of_a_developers_machine() -> None:
    homes = re.compile(r"(?<![\w.:/])/(?:work|root|home|Users|private|mnt|tmp)/\w|[A-Z]:\\Users")
    assert not [
        f"{shown(page)}: {found[0]}" for page in PAGES for found in homes.finditer(page.read_text(encoding="utf-8"))
    ]


def test_the_number_of_profiles_is_true() -> None:
    for name in ("README.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.findall(r"(\d+) provider profiles", text) == [str(len(load_profiles()))], name


def test_settings_that_pages_name_exist() -> None:
    known = {item.name for item in fields(Settings)} | RESERVED_SETTINGS
    variables = {f"GATEWAYZ_{name.upper()}" for name in known} | build_reference.ENVIRONMENT.keys()
    variables |= {"GATEWAYZ_PREPARED"}  # between `serve` and its workers
    named = {
        (shown(page), name)
        for page in PAGES
        for name in re.findall(r"\bGATEWAYZ_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8"))
    }
    assert not [pair for pair in named if pair[1] not in variables]
    # Within tables and sentences a setting stands in backticks; a prefix tells settings from other words.
    prefixes = ("breaker_", "velocity_", "trial_", "lease_", "rpm_", "admin_grant_", "auth_cache_", "anonymous_")
    own = {
        "breaker_reset",
        "breaker_moved",
        "breaker_state",
        "trial_expired",
        "trial_daily_limit",
        "velocity_mode_active",
    }
    guides = [page for page in PAGES if page.parent.name == "guides"]
    words = {
        (shown(page), word) for page in guides for word in re.findall(r"`([a-z_]+)`", page.read_text(encoding="utf-8"))
    }
    assert not [pair for pair in words if pair[1].startswith(prefixes) and pair[1] not in known | own]


# --- commands and examples


def commands() -> Iterator[tuple[str, list[str]]]:
    """(page, words) of every command in a shell block; lines that end in a backslash are joined, variables kept."""
    for page, text in (*blocks("sh"), *blocks("bash")):
        joined = text.replace("\\\n", " ")
        # Bodies in single quotes may go over several lines.
        for line in re.findall(r"(?:[^\n']|'[^']*')+", joined):
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                yield page, words


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    used = {(page, words[1]) for page, words in commands() if words[0] == "make"}
    text = {
        (shown(page), target)
        for page in PAGES
        for target in re.findall(r"`make ([a-z]+)`", page.read_text(encoding="utf-8"))
    }
    assert ("README.md", "run") in used and ("README.md", "test") in used
    assert not [pair for pair in used | text if pair[1] not in targets]


def test_gatewayz_commands_are_understood() -> None:
    parser = cli._parser()
    used = [words for _, words in commands() if words[0].rpartition("/")[2] == "gatewayz"]
    assert len(used) > 5
    for words in used:
        parser.parse_args(words[1:])  # exits, and so fails, for what it does not know
    first = {word for words, _, _ in build_reference._commands(parser) for word in words[:1]}
    for page in PAGES:
        for words in re.findall(r"`gatewayz ([a-z][a-z -]*)`", page.read_text(encoding="utf-8")):
            assert words.split()[0] in first, f"{shown(page)}: gatewayz {words}"


def test_curl_lines_call_routes_that_exist() -> None:
    templates = [*ROUTES, *(route.path for module in app._ROUTERS for route in module.router().routes)]
    inner = [re.sub(r"\\\{\w+:path\\\}", ".+", re.escape(template)) for template in templates]
    patterns = [re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", template)) for template in inner]
    patterns += [re.compile(re.escape(each.endpoint).replace(r"\{model\}", ".+")) for each in METHODS.values()]
    called = []
    for page, words in commands():
        if words[0] == "curl":
            called += [(page, url) for url in words[1:] if url.startswith(("http://localhost:8000/", "$API/"))]
    assert len(called) > 15
    for page, url in called:
        path = "/" + re.sub(r"^(?:http://localhost:8000|\$API)/", "", url).partition("?")[0]
        assert any(pattern.fullmatch(path) for pattern in patterns), f"{page}: {url}"


def test_bodies_of_curl_lines_are_json() -> None:
    bodies = [
        (page, words[words.index("-d") + 1]) for page, words in commands() if words[0] == "curl" and "-d" in words
    ]
    assert len(bodies) > 5
    for _, body in bodies:
        assert isinstance(json.loads(body), dict)


def test_curl_lines_say_that_their_body_is_json() -> None:
    for page, words in commands():
        google = any("/v1beta/" in word for word in words)  # whose own examples do without
        if words[0] == "curl" and "-d" in words and not google:
            assert "Content-Type: application/json" in words, f"{page}: {words}"


def test_configuration_examples_are_accepted(tmp_path: Path) -> None:
    examples = list(blocks("toml"))
    assert len(examples) >= 2
    for page, text in examples:
        file = tmp_path / "gatewayz.toml"
        file.write_text(text, encoding="utf-8")
        variables = dict.fromkeys(re.findall(r'api_key_env = "(\w+)"', text), "a-key")
        variables |= {"GATEWAYZ_CONFIG": str(file), "GATEWAYZ_HOME": str(tmp_path)}
        configuration = load_configuration(read_environment(variables))
        assert not configuration.warnings, page
        assert configuration.models, page


@pytest.mark.parametrize("section", ["providers", "models", "models.offers"])
def test_fields_of_the_configuration_are_described(section: str) -> None:
    text = (DOCS / "guides" / "configuration.md").read_text(encoding="utf-8")
    names = {"providers": providers._FIELDS, "models": models._MODEL_FIELDS, "models.offers": models._OFFER_FIELDS}[
        section
    ]
    other_spellings = set(models.FLAGS) - {name for name in models.FLAGS if f"`{name}`" in text}
    assert {models.FLAGS[name] for name in models.FLAGS if f"`{name}`" in text} >= set(models.FLAGS.values())
    assert not [name for name in names - other_spellings - {"offers"} if f"`{name}`" not in text]


def test_python_examples_compile() -> None:
    examples = list(blocks("python"))
    assert len(examples) > 3
    for page, text in examples:
        compile(text, page, "exec")
