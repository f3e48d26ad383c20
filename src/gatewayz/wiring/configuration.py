"""The operator's choices as one whole: environment and file, validated together, refused together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatewayz.catalog import ModelRecord, read_models
from gatewayz.infra.toml_file import TomlFile, TomlMistake, read_toml
from gatewayz.providers.config import SIMULATED_SLUG, ConfiguredProvider, read_providers
from gatewayz.providers.profile import load_profiles
from gatewayz.providers.registry import Providers, build_providers
from gatewayz.providers.simulated import simulated_wanted
from gatewayz.settings import ConfigurationError, Environment, Mistake, Settings, Source, read_settings

DEFAULT_FILE = Path("gatewayz.toml")
_SECTIONS = ("settings", "providers", "models")


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that was chosen: ready to be used, nothing left to check."""

    environment: Environment
    settings: Settings
    sources: Mapping[str, Source]
    providers: Providers
    configured: tuple[ConfiguredProvider, ...]
    models: tuple[ModelRecord, ...]
    warnings: tuple[str, ...] = ()
    path: Path | None = None
    known_slugs: frozenset[str] = field(default=frozenset())


def config_path(environment: Environment) -> Path | None:
    """The file to read: GATEWAYZ_CONFIG, else `gatewayz.toml` in the working directory if there is one."""
    if environment.config_path is not None:
        return environment.config_path
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def load_configuration(environment: Environment) -> Configuration:
    """Reads and validates the whole configuration. Raises ConfigurationError naming every mistake at once."""
    path = config_path(environment)
    where = str(path) if path is not None else "gatewayz.toml"
    mistakes: list[Mistake] = []
    file = _read(path, where, mistakes)
    settings, sources, settings_mistakes, warnings = read_settings(
        _table(file, "settings", where, mistakes),
        environment.variables,
        where=where,
        lines={name: line for name in file.tables.get("settings", {}) if (line := file.line_of(("settings", name)))},
    )
    mistakes += settings_mistakes
    if environment.is_production and settings.simulated_provider == "on":
        problem = "simulated_provider must not be on with APP_ENV=production: customers would get made-up answers"
        by_file = sources["simulated_provider"] == "file"
        line = file.line_of(("settings", "simulated_provider")) if by_file else None
        mistakes.append(Mistake(where if by_file else "environment", problem, line))
    profiles = load_profiles()
    configured, provider_mistakes = read_providers(
        file.tables.get("providers", []), file.line_of, environment.variables, profiles, where=where
    )
    known = frozenset(profiles) | {provider.slug for provider in configured} | {SIMULATED_SLUG}
    models, model_mistakes = read_models(
        file.tables.get("models", []),
        file.line_of,
        where=where,
        providers=known,
        free_model_allowlist=settings.free_model_allowlist,
    )
    mistakes += provider_mistakes + model_mistakes
    for section in file.tables:
        if section not in _SECTIONS:
            problem = f"unknown section [{section}]; there are {', '.join(_SECTIONS)}"
            mistakes.append(Mistake(where, problem, file.line_of((section,))))
    if mistakes:
        raise ConfigurationError(mistakes)
    real = build_providers(profiles, environment.variables, configured, simulated=False)
    providers = real
    if simulated_wanted(settings, environment, real.has_real()):
        providers = build_providers(profiles, environment.variables, configured, simulated=True)
    return Configuration(
        environment=environment,
        settings=settings,
        sources=sources,
        providers=providers,
        configured=tuple(configured),
        models=tuple(models),
        warnings=tuple(warnings),
        path=path,
        known_slugs=frozenset(profiles) | {SIMULATED_SLUG},
    )


def _read(path: Path | None, where: str, mistakes: list[Mistake]) -> TomlFile:
    empty = TomlFile({}, lambda _path: None)
    if path is None:
        return empty
    try:
        return read_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        mistakes.append(Mistake(where, f"cannot be read: {error.strerror or error}"))
    except UnicodeDecodeError:
        mistakes.append(Mistake(where, "is not UTF-8 text"))
    except TomlMistake as error:
        mistakes.append(Mistake(where, f"is not valid TOML: {error}", error.line))
    return empty


def _table(file: TomlFile, name: str, where: str, mistakes: list[Mistake]) -> Mapping[str, Any]:
    table = file.tables.get(name, {})
    if isinstance(table, Mapping):
        return table
    mistakes.append(Mistake(where, f"{name} must be a table: write [{name}]", file.line_of((name,))))
    return {}
