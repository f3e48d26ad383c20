"""What an attacker tries (CC.12): at the stored keys, through every input, and by what an answer gives away."""

import base64
import hashlib
import http.client
import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from cryptography.fernet import Fernet

from tests.acceptance.access_helpers import (
    CHAT,
    MESSAGES,
    Visitor,
    chat_body,
    config_of,
    error_of,
    operations,
    sqlite,
    visitor,
)
from tests.fakes.handle import FakeUpstream
from tests.live import LiveGateway
from tests.servers import postgres_database

SQL = (
    "'; DROP TABLE users; --",
    "1 OR 1=1",
    "' UNION SELECT encrypted_key FROM api_keys_new --",
    "%",
    '"\\',
    "$1",
    ":id",
)
SCRIPT = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "{{7*7}}${7*7}")
PATHS = ("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "....//....//etc/passwd", "/etc/passwd", "file:///etc/passwd")
ODD = (
    "\x00",
    "\u202egnp.exe",
    "\ud7ff\uffff",
    "𝔘𝔫𝔦",
    "-1",
    "9" * 40,
    "1e309",
    "NaN",
    " ",
    "a" * 3000,
    "\r\nX-Forged: 1",
)
MARK = "touched-by-a-shell"


def shell(home: Path) -> tuple[str, ...]:
    """Commands that would leave a file behind if any input reached a shell."""
    made = home / MARK
    return (
        f"; touch {made}",
        f"$(touch {made})",
        f"`touch {made}`",
        f"| touch {made}",
        f"\ntouch {made}\n",
        "; rm -rf /",
    )


def corpus(home: Path) -> tuple[str, ...]:
    return (*SQL, *SCRIPT, *PATHS, *ODD, *shell(home))


@pytest.fixture(scope="module")
def config(upstream: FakeUpstream) -> str:
    return config_of(upstream, disposable_domains=["throwaway.example"], cors_allow_origins=["https://app.example"])


@pytest.fixture(scope="module")
def gateway(config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A live gateway on SQLite, whose files can be read."""
    with LiveGateway(tmp_path_factory.mktemp("security"), config) as live:
        yield live


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def attacked(
    request: pytest.FixtureRequest, config: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveGateway]:
    """A live gateway on each database: what one of them takes may break the other."""
    if request.param == "sqlite":
        yield request.getfixturevalue("gateway")
        return
    with (
        postgres_database(request.getfixturevalue("postgres_dsn")) as url,
        LiveGateway(tmp_path_factory.mktemp("attacked"), config, {"DATABASE_URL": url}) as live,
    ):
        yield live


def files_of(gateway: LiveGateway) -> dict[str, bytes]:
    """Everything that the gateway wrote, except the file that holds its secret and the configuration."""
    kept = ("secret.key", "gatewayz.toml")
    return {
        path.name: path.read_bytes() for path in gateway.home.rglob("*") if path.is_file() and path.name not in kept
    }


@pytest.mark.ac("AC-CC.12.1", "AC-1.1.5")
def test_stored_keys_are_ciphertext_under_the_secret(gateway: LiveGateway) -> None:
    customer = gateway.customer(0)
    file = sqlite(gateway)
    query = "SELECT encrypted_key, key_hash, last4 FROM api_keys_new WHERE user_id = ?"
    ((sealed, key_hash, last4),) = file.execute(query, (customer.user_id,)).fetchall()
    everything = file.execute("SELECT encrypted_key, key_hash FROM api_keys_new").fetchall()
    file.close()
    secret = gateway.home / "secret.key"
    assert secret.stat().st_mode & 0o077 == 0
    assert Fernet(secret.read_text().strip()).decrypt(sealed.encode()).decode() == customer.key
    assert last4 == customer.key[-4:]
    for ciphertext, digest in everything:
        assert base64.urlsafe_b64decode(ciphertext)[0] == 0x80
        assert re.fullmatch(r"[0-9a-f]{64}", digest)
    assert len({digest for _, digest in everything}) == len(everything)
    # The digest is keyed: whoever has the database alone cannot try keys against it.
    assert key_hash != hashlib.sha256(customer.key.encode()).hexdigest()


@pytest.mark.ac("AC-1.1.5", "AC-CC.12.1")
def test_no_key_and_no_prompt_lies_in_any_file(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(10)
    made = customer.call("POST", "/user/api-keys", {"key_name": "rotated"}).json()
    rotated = customer.call("POST", f"/user/api-keys/{made['key_id']}/rotate", {"grace_period_s": 60}).json()
    unknown = "gw_live_" + "Z" * 43
    prompt = "the-secret-of-the-customer"
    upstream.script("first", default={"text": "the-answer-to-the-customer"})
    for key in (customer.key, made["api_key"], rotated["api_key"], gateway.admin_key, unknown, unknown + "x"):
        for path in (CHAT, MESSAGES):
            gateway.call("POST", path, chat_body(text=prompt), key=key)
        gateway.call("GET", "/user/profile", key=key)
    kept = customer.chat("acme/single", prompt, headers={"X-Request-ID": "kept-for-replay"})
    assert kept.status_code == 200
    again = customer.chat("acme/single", prompt, headers={"X-Request-ID": "kept-for-replay"})
    assert again.content == kept.content
    upstream.script("first", default={"status": 500, "error": "x"})
    customer.chat("acme/single", prompt)
    words = [key[8:51] for key in (customer.key, made["api_key"], rotated["api_key"], gateway.admin_key, unknown)]
    words += ["sk-first", prompt, "the-answer-to-the-customer"]
    found = files_of(gateway)
    assert {"gatewayz.db", "serve.log"} <= found.keys()
    assert customer.key[-4:].encode() in b"".join(found.values())
    for name, content in found.items():
        for word in words:
            assert word.encode() not in content, (name, word)


def variations(path: str, payload: str) -> Iterator[str]:
    """The path template with the payload in each of its parameters in turn."""
    names = re.findall(r"\{(\w+)\}", path)
    for name in names:
        filled = path.replace(f"{{{name}}}", quote(payload, safe=""))
        yield re.sub(r"\{\w+\}", "1", filled)


def harmless(answer: Any, where: str) -> None:
    """The answer is an ordinary one or a refusal, inert for a browser, and gives nothing of the machine away."""
    assert answer.status_code < 500, (where, answer.status_code, answer.text[:300])
    assert answer.headers["x-content-type-options"] == "nosniff", where
    kind = answer.headers.get("content-type", "application/json")
    assert kind.startswith(("application/json", "text/plain", "application/openmetrics-text")), (where, kind)
    assert "x-forged" not in answer.headers, where
    for word in ("Traceback", "root:x:", "sqlalchemy", "asyncpg", "SELECT ", "/src/gatewayz"):
        if word not in unquote(where):
            assert word not in answer.text, (where, word)


@pytest.mark.ac("AC-CC.12.3", "AC-CC.12.4", "AC-CC.12.5", "AC-CC.12.6", "AC-CC.12.7")
def test_nothing_in_a_path_or_query_does_harm(attacked: LiveGateway) -> None:
    # One of each kind: every route times every parameter times the whole corpus would take a minute.
    payloads = (SQL[0], SQL[2], SCRIPT[0], PATHS[0], PATHS[1], ODD[0], ODD[5], ODD[7], shell(attacked.home)[1])
    with visitor(attacked, attacked.admin_key) as admin:
        for method, path, operation in operations(attacked):
            queries = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
            for payload in payloads:
                for target in variations(path, payload):
                    harmless(admin.send(method, target, None if method == "GET" else {}), f"{method} {target}")
                if method == "GET" and queries and "{" not in path:
                    for name in queries:
                        target = f"{path}?{name}={quote(payload, safe='')}"
                        harmless(admin.get(target), target)
    whole(attacked)


@pytest.mark.ac("AC-CC.12.3", "AC-CC.12.4", "AC-CC.12.5", "AC-CC.12.6")
def test_nothing_in_a_body_does_harm(attacked: LiveGateway) -> None:
    key_names = 0
    with visitor(attacked, attacked.admin_key) as admin:
        owner = attacked.customer(0)
        key_id = attacked.admin("GET", f"/admin/users/{owner.user_id}")["keys"][0]["key_id"]
        for number, payload in enumerate(corpus(attacked.home)):
            for method, path, body in (
                ("POST", "/admin/create", {"username": payload, "email": f"p{number}@example.com"}),
                ("POST", "/admin/create", {"username": "x", "email": payload}),
                ("POST", "/admin/create", {"username": "x", "email": f"{payload}@example.com"}),
                ("POST", "/credits/add", {"user_id": owner.user_id, "amount_usd": "0.01", "reason": payload}),
                ("POST", "/credits/add", {"user_id": owner.user_id, "amount_usd": payload, "reason": "x"}),
                ("POST", "/credits/refund", {"user_id": owner.user_id, "request_id": payload, "reason": "x"}),
                ("POST", "/admin/roles/update", {"user_id": owner.user_id, "new_role": payload, "reason": "x"}),
                ("POST", "/admin/roles/update", {"user_id": owner.user_id, "new_role": "team", "reason": payload}),
                ("PATCH", f"/admin/users/{owner.user_id}/status", {"status": "active", "reason": payload}),
                ("POST", "/api/admin/ip-whitelist", {"ip": payload, "key_id": key_id}),
                ("POST", "/api/admin/ip-whitelist/check", {"ip": payload, "key_id": key_id}),
                ("POST", "/user/api-keys", {"key_name": "x", "domain_referrers": [payload], "scopes": [payload]}),
                ("POST", CHAT, chat_body(model=payload)),
                ("POST", MESSAGES, chat_body(model=payload)),
                ("POST", CHAT, chat_body(provider=payload)),
            ):
                harmless(admin.send(method, path, body), f"{path} {payload!r}")
            named = owner.call("PUT", f"/user/api-keys/{key_id}", {"key_name": payload})
            harmless(named, f"key_name {payload!r}")
            if named.status_code == 200:
                # What is accepted is stored as it is and comes back inert.
                key_names += 1
                shown = owner.call("GET", "/user/api-keys").json()["data"][0]["key_name"]
                assert shown == payload.strip()
    assert key_names > len(SQL) + len(SCRIPT) - 3
    whole(attacked)


@pytest.mark.ac("AC-CC.12.3", "AC-CC.12.4")
def test_nothing_in_a_header_does_harm(attacked: LiveGateway) -> None:
    customer = attacked.customer(10)
    with visitor(attacked, customer.key) as user:
        for payload in corpus(attacked.home):
            value = payload.encode("utf-8").replace(b"\x00", b"").replace(b"\r", b"").replace(b"\n", b"").strip()
            for name in (
                "user-agent",
                "x-request-id",
                "idempotency-key",
                "referer",
                "origin",
                "traceparent",
                "x-real-ip",
            ):
                sent: Any = {name.replace("-", "_"): value}
                harmless(user.get("/user/profile", **sent), f"{name} {payload!r}")
            everywhere: Any = {"user_agent": value, "x_request_id": value, "referer": value, "origin": value}
            harmless(user.infer(CHAT, **everywhere), f"headers {payload!r}")
            forwarded: Any = {"x_forwarded_for": value}
            harmless(user.get("/admin/users", **forwarded), f"x-forwarded-for {payload!r}")
    whole(attacked)


def whole(gateway: LiveGateway) -> None:
    """Accounts are there, the trails are unbroken, no shell was reached, and the gateway works."""
    assert gateway.admin("GET", "/admin/users")["total"] >= 1
    assert gateway.admin("GET", "/admin/audit-logs/verify")["valid"] is True
    assert not list(gateway.home.rglob(MARK))
    assert gateway.customer(10).chat("acme/single").status_code == 200


@pytest.mark.ac("AC-CC.12.3")
def test_a_search_finds_the_text_and_not_a_pattern(attacked: LiveGateway) -> None:
    body = {"username": "100%_off's", "email": "percent@example.com"}
    attacked.admin("POST", "/admin/create", body)

    def found(query: str) -> int:
        total: int = attacked.admin("GET", f"/admin/users?search={quote(query, safe='')}")["total"]
        return total

    assert found("100%_off's") == 1
    assert found("1__%_off's") == found("%percent%") == found("' OR ''='") == 0
    assert attacked.admin("GET", "/admin/users")["total"] > 1


@pytest.mark.ac("AC-CC.12.3", "AC-CC.12.4", "AC-CC.12.5")
def test_prompts_are_passed_on_unchanged(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(10)
    with visitor(gateway, customer.key) as user:
        for text in (*SQL, *SCRIPT, *PATHS, *shell(gateway.home), *ODD[:4]):
            for path in (CHAT, MESSAGES):
                upstream.reset()
                upstream.script("first", default={"text": text})
                answer = user.send("POST", path, chat_body(text=text))
                assert answer.status_code == 200, answer.text
                assert answer.headers["content-type"] == "application/json"
                (entry,) = upstream.journal()
                assert entry["body"]["messages"][-1]["content"] == text
                told = answer.json()
                back = told["choices"][0]["message"]["content"] if path == CHAT else told["content"][0]["text"]
                assert back == text
    whole(gateway)


@pytest.mark.ac("AC-CC.12.6")
@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/v1/models/../../../etc/passwd",
        "/v1/models/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/v1/models/..%2f..%2f..%2fetc%2fpasswd",
        "/v1/models/..%252f..%252fetc%252fpasswd",
        "/v1/models/..%5c..%5cetc%5cpasswd",
        "/v1/models/%c0%ae%c0%ae/etc/passwd",
        "/circuit-breakers/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/static/../gatewayz.toml",
        "/gatewayz.toml",
        "/secret.key",
        "/.env",
        "/.git/config",
    ],
)
def test_a_path_never_leads_to_a_file(gateway: LiveGateway, path: str) -> None:
    # Sent as it stands: clients that tidy paths up would hide the attack.
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.request("GET", path, headers={"Authorization": f"Bearer {gateway.admin_key}"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status in (404, 422)
    assert json.loads(content)["error"]["code"] in ("not_found", "model_not_found", "validation_error")
    assert b"root:" not in content


def test_log_lines_cannot_be_forged(gateway: LiveGateway) -> None:
    forged = 'x\n{"event": "forged"}\r\n{"event": "forged"}\u2028{"event": "forged"}'
    customer = gateway.customer(10)
    customer.chat(forged)
    customer.call("GET", "/user/profile", **{"User-Agent": "a\tb"})
    gateway.call("GET", "/user/profile", key="gw_live_" + quote(forged))
    gateway.call("POST", "/admin/create", {"username": forged, "email": "forged@example.com"}, key=gateway.admin_key)
    for line in gateway.log_path.read_text().split("\n"):
        assert not line.startswith('{"event": "forged"')


@pytest.mark.ac("AC-CC.12.9")
@pytest.mark.parametrize(
    "email",
    [
        "user@tempmail.com",
        "user@mailinator.com",
        "USER@Mailinator.COM",
        "user@sub.mailinator.com",
        "user@10minutemail.com",
        "user@throwaway.example",
        "user@deep.throwaway.example",
    ],
)
def test_throw_away_addresses_are_refused(gateway: LiveGateway, email: str) -> None:
    def register(address: str) -> Any:
        body = {"username": "x", "email": address}
        return gateway.call("POST", "/admin/create", body, key=gateway.admin_key)

    error = error_of(register(email), 400, "disposable_email")
    assert error["param"] == "email"
    assert gateway.admin("GET", f"/admin/users?email={quote(email)}")["total"] == 0
    assert register(f"u{secrets.token_hex(6)}@nothrowaway.example").status_code in (200, 201)


def test_one_person_has_one_account(gateway: LiveGateway) -> None:
    def register(address: str) -> Any:
        body = {"username": "x", "email": address}
        return gateway.call("POST", "/admin/create", body, key=gateway.admin_key)

    assert register("jane.doe@gmail.com").status_code in (200, 201)
    for same in ("Jane.Doe@Gmail.com", "janedoe@gmail.com", "jane.doe+trial@gmail.com", "jane.doe@googlemail.com"):
        error_of(register(same), 409, "email_taken")


def test_web_pages_of_listed_origins_only_may_read_answers(gateway: LiveGateway) -> None:
    customer = gateway.customer(10)

    def asked(origin: str, method: str, path: str) -> Any:
        body = chat_body() if method == "POST" else None
        return gateway.call(method, path, body, key=customer.key, headers={"Origin": origin})

    for method, path in (
        ("GET", "/v1/models?limit=1"),
        ("POST", CHAT),
        ("OPTIONS", CHAT),
        ("OPTIONS", "/user/profile"),
    ):
        allowed = asked("https://app.example", method, path)
        assert allowed.status_code in (200, 204)
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        for origin in ("https://evil.example", "https://app.example.evil.example", "http://app.example", "null"):
            refused = asked(origin, method, path)
            assert "access-control-allow-origin" not in refused.headers
            assert "origin" in refused.headers["vary"].lower()
        assert "access-control-allow-credentials" not in allowed.headers


def test_a_host_header_leads_nowhere(gateway: LiveGateway) -> None:
    for path in ("/user/profile/", "/v1/models/", "/admin/users/", "/health/"):
        answer = gateway.call("GET", path, key=gateway.admin_key, headers={"Host": "evil.example"})
        assert answer.status_code == 404
        assert "evil.example" not in answer.text and "location" not in answer.headers


def send_raw(user: Visitor, body: str) -> int:
    return user.send("POST", CHAT, body).status_code


def test_deep_and_strange_json_is_refused_quickly(gateway: LiveGateway) -> None:
    customer = gateway.customer(10)
    with visitor(gateway, customer.key) as user:
        for body in (
            "[" * 1_000_000,
            '{"model":"acme/single","messages":' + "[" * 100_000 + "]" * 100_000 + "}",
            '{"model":"acme/single","messages":[{"role":"user","content":'
            + '{"a":' * 50_000
            + "1"
            + "}" * 50_000
            + "}]}",
            '{"model":"acme/single","max_tokens":' + "9" * 100_000 + ',"messages":[{"role":"user","content":"x"}]}',
            '{"model":"acme/single","temperature":NaN,"messages":[{"role":"user","content":"x"}]}',
        ):
            assert send_raw(user, body) == 400
            assert user.send("POST", "/user/api-keys", body).status_code in (400, 422)
        assert user.infer(CHAT).status_code == 200


@pytest.mark.ac("AC-CC.12.3")
def test_texts_that_a_database_cannot_hold_do_not_stop_the_ledger(
    attacked: LiveGateway, upstream: FakeUpstream
) -> None:
    attacker, victim = attacked.customer(10), attacked.customer(10)
    for odd in ("\x00", "a\x00b", "\ud800", "\U0010ffff"):
        attacker.call("POST", CHAT, chat_body(model=odd))
        attacker.call("POST", MESSAGES, chat_body(model=odd))
        upstream.script("first", default={"id": f"id{odd}", "finish": f"stop{odd}"})
        attacker.call("POST", CHAT, chat_body(user=odd))
        attacker.call("POST", MESSAGES, chat_body(metadata={"user_id": odd}))
        attacker.call("POST", CHAT, chat_body(user=odd, stream=True))
    upstream.reset()
    for _ in range(3):
        assert victim.chat("acme/single").status_code == 200
    assert len(victim.transactions(type="api_usage")) == 3
    health = attacked.call("GET", "/health").json()["components"]["billing"]
    assert health == {"status": "healthy", "waiting": 0}
    logged = attacker.call("GET", "/user/activity/log?limit=100").json()
    assert logged["total"] >= 8
