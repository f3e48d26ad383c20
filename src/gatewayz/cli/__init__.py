"""The command line: `gatewayz serve|migrate|sync|keys|providers|config|reconcile|ledger|doctor`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import sqlalchemy as sa

from gatewayz import __version__
from gatewayz.core.errors import GatewayError
from gatewayz.infra.clock import parse_time_us
from gatewayz.settings import ConfigurationError

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code (0 well, 1 failed, 2 wrongly used)."""
    options = _parser().parse_args(argv)
    if getattr(options, "config", None):
        os.environ["GATEWAYZ_CONFIG"] = str(options.config)
    try:
        return command_named(options.run)(options)
    except ConfigurationError as error:
        print(f"The configuration has {len(error.mistakes)} mistake(s):", file=sys.stderr)
        for mistake in error.mistakes:
            print(f"  {mistake}", file=sys.stderr)
        return 1
    except GatewayError as error:
        print(error.message, file=sys.stderr)
        return 1
    except (sa.exc.SQLAlchemyError, OSError) as error:
        print(f"The database or a file cannot be used: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def command_named(name: str) -> Command:
    """The command behind a name such as `serve.migrate`: a module of this room and its function.

    Loaded when it is called: the worker, which is `serve`, stays in memory and has no use for the others.
    """
    module, _, function = name.partition(".")
    command: Command = getattr(import_module(f"gatewayz.cli.{module}"), function)
    return command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gatewayz", description="One API key, every model, one exact bill.")
    parser.add_argument("--version", action="version", version=f"gatewayz {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    with_config = argparse.ArgumentParser(add_help=False)
    with_config.add_argument(
        "--config", type=Path, help="configuration file (default: GATEWAYZ_CONFIG or gatewayz.toml)"
    )

    command = commands.add_parser("serve", parents=[with_config], help="start the gateway")
    command.add_argument("--host", default="0.0.0.0", help="address to listen on (default: all)")  # noqa: S104
    command.add_argument("--port", type=_port, help="port (default: PORT or 8000)")
    command.add_argument("--workers", type=int, default=1, help="processes that share the port (default: 1)")
    command.add_argument(
        "--serving",
        type=int,
        metavar="N",
        help="how many workers serve at once, the others are kept in reserve (default: as many as there are cores)",
    )
    command.set_defaults(run="serve.serve")

    command = commands.add_parser("migrate", parents=[with_config], help="bring database and catalog up to date")
    command.set_defaults(run="serve.migrate")

    command = commands.add_parser("sync", parents=[with_config], help="read the providers' model lists now")
    command.add_argument(
        "slugs", nargs="*", metavar="slug", help="only these providers (default: all that have a list)"
    )
    command.add_argument("--dry-run", action="store_true", help="report what would change, write nothing")
    command.set_defaults(run="sync.sync_models")

    _keys_parser(commands, with_config)
    _providers_parser(commands, with_config)

    config = commands.add_parser("config", help="check or apply gatewayz.toml").add_subparsers(
        required=True, metavar="act"
    )
    command = config.add_parser("check", parents=[with_config], help="name every mistake, change nothing")
    command.set_defaults(run="config.check_config")
    command = config.add_parser(
        "apply", parents=[with_config], help="validate as a whole and apply to running processes"
    )
    command.set_defaults(run="config.apply_config")

    command = config.add_parser("import", help="another gateway's configuration as a gatewayz.toml")
    command = command.add_subparsers(required=True, metavar="gateway").add_parser(
        "litellm", help="LiteLLM's config.yaml"
    )
    command.add_argument("file", type=Path, help="the config.yaml")
    command.add_argument("-o", "--output", type=Path, help="file to write, which must not exist (default: stdout)")
    command.set_defaults(run="import_config.import_litellm")

    _ledger_parsers(commands, with_config)

    command = commands.add_parser("doctor", parents=[with_config], help="what is wrong here and how to mend it")
    command.add_argument("--port", type=_port, help="port of a running gateway to look at (default: PORT or 8000)")
    command.set_defaults(run="doctor.doctor")
    return parser


def _keys_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", shared: argparse.ArgumentParser
) -> None:
    keys = commands.add_parser("keys", help="make, list and revoke API keys").add_subparsers(
        required=True, metavar="act"
    )
    command = keys.add_parser("create", parents=[shared], help="a new key of an account")
    who = command.add_mutually_exclusive_group(required=True)
    who.add_argument("--user-id", type=_number, help="account by number")
    who.add_argument("--email", help="account by e-mail; made if there is none")
    command.add_argument("--name", default="command line", help="name of the key")
    command.add_argument("--environment", choices=("live", "test", "staging", "dev"), default="live")
    command.add_argument("--admin", action="store_true", help="make the account an administrator with an admin key")
    command.add_argument("--credit-usd", help="add this much credit to the account")
    command.set_defaults(run="keys.create_key")
    command = keys.add_parser("list", parents=[shared], help="keys of an account")
    command.add_argument("--user-id", type=_number, required=True)
    command.set_defaults(run="keys.list_keys")
    command = keys.add_parser("revoke", parents=[shared], help="delete a key, effective at once")
    command.add_argument("key_id", type=_number)
    command.set_defaults(run="keys.revoke_key")
    command = keys.add_parser(
        "reencrypt", parents=[shared], help="encrypt stored keys under the first GATEWAYZ_SECRET_KEY"
    )
    command.set_defaults(run="keys.reencrypt")
    command = keys.add_parser("new-secret", help="print a fresh value for GATEWAYZ_SECRET_KEY")
    command.set_defaults(run="keys.new_secret")


def _providers_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", shared: argparse.ArgumentParser
) -> None:
    providers = commands.add_parser("providers", help="list providers, try them for real").add_subparsers(
        required=True, metavar="act"
    )
    command = providers.add_parser("list", parents=[shared], help="who can be called, and why the others cannot")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run="providers.list_providers")
    command = providers.add_parser(
        "check",
        parents=[shared],
        help="try providers with two very small chats each, whose cost is told before; exit code 1 if any fails",
    )
    command.add_argument("slug", nargs="*", help="providers to try (default: all that can be called)")
    command.add_argument(
        "--model", help="model to ask, by id or by the provider's own name (default: a very cheap one)"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="print what would be sent and what it may cost, send nothing"
    )
    command.add_argument("--timeout", type=_seconds, default=30.0, help="seconds for each step (default: 30)")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run="providers.check_providers")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError("must be seconds, above 0 and at most 3600")
    return value


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"must be a port from 0 to 65535, not {text!r}")
    return int(text)


def _number(text: str) -> int:
    """The number of a row, as the database can hold it."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"must be a number above 0, as the lists show it, not {text!r}")
    return int(text)


def _moment(text: str) -> int:
    """A date or time, in microseconds since the epoch."""
    try:
        return parse_time_us(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 date or time, e.g. 2026-11-21") from None


def _ledger_parsers(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", shared: argparse.ArgumentParser
) -> None:
    command = commands.add_parser("reconcile", parents=[shared], help="whether the books agree; exit code 1 if not")
    command.add_argument(
        "--since", type=_moment, metavar="DATE", help="look at single rows from then on (default: all)"
    )
    command.set_defaults(run="ledger.reconcile_books")

    ledger = commands.add_parser("ledger", help="prove the ledger, price it again").add_subparsers(
        required=True, metavar="act"
    )
    command = ledger.add_parser("verify", parents=[shared], help="the form of every row; prints the first broken one")
    command.set_defaults(run="ledger.verify_ledger")
    command = ledger.add_parser(
        "rerate", parents=[shared], help="what charges should have been at other prices; changes nothing by itself"
    )
    command.add_argument(
        "--from", dest="start", type=_moment, required=True, metavar="DATE", help="charges from then on"
    )
    command.add_argument("--to", dest="end", type=_moment, required=True, metavar="DATE", help="until before then")
    command.add_argument("--model", help="of one model only")
    command.add_argument("--provider", help="of one provider only")
    command.add_argument(
        "--prices",
        default="pinned",
        help="pinned (checks the arithmetic), current (those in force now), or a TOML or JSON file with [[prices]]",
    )
    command.add_argument("--apply", action="store_true", help="write a correction for each charge that differs, once")
    command.add_argument("--reason", help="why, for the ledger and the audit trail")
    command.set_defaults(run="ledger.rerate_ledger")
