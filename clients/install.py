"""Installs a client from its registry into a folder of its own, with the versions that its folder pins."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = HERE / ".work"
INSTALL_S = 900.0


class CannotInstall(Exception):
    """The client is not to be had on this machine; the text says why."""


@dataclass(frozen=True)
class Installed:
    """A client ready to run: the words that start its script, and the folder that holds its programs."""

    command: list[str]
    programs: Path


def install(name: str) -> Installed:
    """The client of the folder `clients/<name>`, installed unless the same pins were before. Raises CannotInstall."""
    source, target = HERE / name, WORK / name
    pins = source / ("requirements.txt" if (source / "requirements.txt").exists() else "package.json")
    stamp = target / "installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != pins.read_text(encoding="utf-8"):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        (_install_python if pins.suffix == ".txt" else _install_node)(target, pins)
        shutil.copy(pins, stamp)
    if pins.suffix == ".txt":
        programs = target / "venv" / "bin"
        return Installed([str(programs / "python"), str(source / "client.py")], programs)
    programs = target / "node_modules" / ".bin"
    script = source / "client.mjs"
    if not script.exists():  # a program of the command line, driven from Python
        return Installed([sys.executable, str(source / "client.py")], programs)
    # Node looks for packages beside the script, so the script goes where they are.
    return Installed(["node", str(shutil.copy(script, target / "client.mjs"))], programs)


def pinned_version(name: str) -> str:
    """The version that the folder pins, of its first package."""
    requirements = HERE / name / "requirements.txt"
    if requirements.exists():
        found = re.search(r"==(\S+)", requirements.read_text(encoding="utf-8"))
        assert found is not None, requirements
        return found[1]
    dependencies = json.loads((HERE / name / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return str(next(iter(dependencies.values())))


def _install_python(target: Path, pins: Path) -> None:
    _run([sys.executable, "-m", "venv", str(target / "venv")])
    pip = [str(target / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _run([*pip, "-r", str(pins)])


def _install_node(target: Path, pins: Path) -> None:
    if shutil.which("npm") is None:
        raise CannotInstall("npm is not on this machine")
    shutil.copy(pins, target / "package.json")
    _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"], target)


def _run(command: list[str], folder: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"{command[0]} took longer than {INSTALL_S:.0f} s") from None
    if done.returncode:
        last = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-1:]
        raise CannotInstall(last[0] if last else f"{command[0]} ended with {done.returncode}")
