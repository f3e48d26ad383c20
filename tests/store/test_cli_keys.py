"""`gatewayz keys` as an operator runs it, on a database of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gatewayz.accounts import keys, store, users
from gatewayz.accounts.audit import SYSTEM
from gatewayz.accounts.emails import Email
from gatewayz.infra.crypto import KeyRing, derive_pepper, new_fernet_key
from gatewayz.infra.db import Database

ROOT = Path(__file__).resolve().parents[2]


def gatewayz(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT / "src"),
        "APP_ENV": "test",
        "GATEWAYZ_HOME": str(home),
    }
    command = [sys.executable, "-m", "gatewayz", *words]
    return subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=60)


def account_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    found = re.search(r"^account (\d+) ", done.stdout, re.M)
    assert found
    return found[1]


def test_an_address_names_one_person_and_never_a_part_of_another(tmp_path: Path) -> None:
    ada = account_of(gatewayz(tmp_path, "keys", "create", "--email", "ada@example.com"))
    other = gatewayz(tmp_path, "keys", "create", "--email", "da@example.com", "--admin", "--name", "second")
    assert account_of(other) != ada
    again = gatewayz(tmp_path, "keys", "create", "--email", "ADA@example.com", "--name", "third")
    assert account_of(again) == ada
    listed = gatewayz(tmp_path, "keys", "list", "--user-id", ada).stdout
    assert "third" in listed and "second" not in listed


def test_what_is_no_address_is_told_in_a_sentence(tmp_path: Path) -> None:
    done = gatewayz(tmp_path, "keys", "create", "--email", "nobody")
    assert done.returncode == 1
    assert done.stderr.startswith("--email: nobody is not an e-mail address")
    assert "Traceback" not in done.stderr


async def test_stored_keys_are_encrypted_again_under_the_first_key(database: Database) -> None:
    old, new = new_fernet_key(), new_fernet_key()
    before, both, after = (KeyRing(ring, derive_pepper(old)) for ring in ([old], [new, old], [new]))
    async with database.begin() as connection:
        user = await users.create(
            connection,
            username="u",
            email=Email("u@example.com", "u@example.com"),
            auth_method="email",
            environment="live",
            origin=SYSTEM,
            now_us=1,
        )
        made = [
            await keys.create(connection, before, user.id, "live", keys.KeySettings(f"k{number}"), SYSTEM, 1)
            for number in range(3)
        ]
    async with database.begin() as connection:
        assert await keys.reseal_page(connection, both, 0, limit=2) == (made[1].key.id, 2)
        assert await keys.reseal_page(connection, both, made[1].key.id, limit=2) == (made[2].key.id, 1)
        assert (await keys.reseal_page(connection, both, made[2].key.id, limit=2))[1] == 0
        rows = await store.sealed_keys_after(connection, 0, 10)
        assert [after.open(row["encrypted_key"].encode()).decode() for row in rows] == [one.secret for one in made]
        with pytest.raises(ValueError, match="no key"):
            await keys.reseal_page(connection, KeyRing([new_fernet_key()], b"x"), 0)
