"""`gatewayz config import litellm FILE`: another gateway's configuration as a gatewayz.toml."""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gatewayz.catalog.aliases import packaged
from gatewayz.catalog.seed import packaged_seed, seed_records
from gatewayz.cli.litellm import convert
from gatewayz.cli.litellm_found import Imported, toml
from gatewayz.cli.litellm_offers import KnownModels
from gatewayz.providers.profile import load_profiles
from gatewayz.settings import ConfigurationError, read_environment
from gatewayz.wiring.configuration import load_configuration

# The file is written, and something that it asks for could not be carried over.
INCOMPLETE = 3


def import_litellm(options: argparse.Namespace) -> int:
    """Writes the configuration to `-o` or stdout, and what was left behind to stderr.

    Returns 0 if everything was carried over, 3 if something was not, 1 if nothing could be written. No secret is printed.
    """
    try:
        known = KnownModels(seed_records(packaged_seed()), packaged().aliases)
        found = convert(_read(options.file), load_profiles(), known, dict(os.environ))
        text = toml(found)
        _validate(text, found)
    except ConfigurationError as error:
        print("the result would not be a valid configuration:", file=sys.stderr)
        for mistake in error.mistakes:
            print(f"  {mistake.problem}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 1
    if options.output is None:
        print(text, end="")
    else:
        try:
            with options.output.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            print(f"{options.output}: {error.strerror or error}", file=sys.stderr)
            return 1
    _report(found)
    return INCOMPLETE if found.left else 0


def _read(path: Path) -> object:
    """The document, with the files that it includes. Raises OSError, ValueError with the place of what is no YAML; never
    quotes the text."""
    document = _yaml(path)
    if not isinstance(document, Mapping) or not isinstance(document.get("include"), list):
        return document
    merged = {name: value for name, value in document.items() if name != "include"}
    for name in document["include"]:
        part = _yaml(path.parent / str(name))
        if not isinstance(part, Mapping):
            raise ValueError(f"includes {name}, which is no mapping")
        merged.update(_joined(merged, part))
    return merged


def _joined(there: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an included file as LiteLLM takes them: lists go on, all else is replaced."""
    return {
        name: [*there[name], *value] if isinstance(value, list) and isinstance(there.get(name), list) else value
        for name, value in part.items()
    }


def _yaml(path: Path) -> object:
    import yaml  # type: ignore[import-untyped]  # only here: no other command needs it

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise ValueError(f"{path.name} is not valid YAML{place}") from None
    except RecursionError:
        raise ValueError(f"{path.name} nests too deep to be read") from None


def _validate(text: str, found: Imported) -> None:
    """Reads the result as a start of the gateway would, with keys in all its variables. Raises ConfigurationError."""
    variables = {each.variable: "set" for each in found.providers.values() if each.variable is not None}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gatewayz.toml"
        path.write_text(text, encoding="utf-8")
        load_configuration(replace(read_environment(), variables=variables, config_path=path))


def _report(found: Imported) -> None:
    models, providers = len(found.models), len(found.providers)
    print(f"{providers} providers, {models} models, {len(found.settings)} settings", file=sys.stderr)
    for name in sorted(found.served):
        print(f"already in the catalog: {name}", file=sys.stderr)
    needed = sorted({each.variable for each in found.providers.values() if each.variable is not None})
    if needed:
        print(f"set these variables: {', '.join(needed)}", file=sys.stderr)
    for path, words in found.notes:
        print(f"note: {path}: {words}", file=sys.stderr)
    for path, reason in found.needless:
        print(f"needs nothing: {path}: {reason}", file=sys.stderr)
    for path, reason in found.left:
        print(f"not carried over: {path}: {reason}", file=sys.stderr)
