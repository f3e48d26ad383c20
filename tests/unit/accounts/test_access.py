"""Where and for what a key may be used: addresses, sites, scopes, models, and who the client is behind proxies."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatewayz.core.errors import Forbidden
from gatewayz.policy import access

V4 = st.ip_addresses(v=4).map(str)
ADDRESSES = st.ip_addresses().map(str)


@pytest.mark.ac("AC-1.3.3", "AC-1.3.4")
@given(V4, st.integers(0, 32), V4)
def test_a_range_holds_what_the_standard_library_says(base: str, prefix: int, client: str) -> None:
    network = ipaddress.IPv4Network(f"{base}/{prefix}", strict=False)
    inside = ipaddress.IPv4Address(client) in network
    entries = ("192.0.2.1", str(network))
    found = access.matching_entry(client, entries)
    assert found == ("192.0.2.1" if client == "192.0.2.1" else str(network) if inside else None)
    if found is None:
        with pytest.raises(Forbidden) as caught:
            access.check_ip(client, entries)
        assert caught.value.code == "ip_not_allowed"
    else:
        access.check_ip(client, entries)


def test_no_entry_does_not_restrict() -> None:
    for client in ("8.8.8.8", "::1", access.UNKNOWN_ADDRESS):
        access.check_ip(client, ())


@pytest.mark.ac("AC-1.3.3")
@pytest.mark.parametrize(
    "client", ["::1", "2001:db8::1", "::ffff:10.0.0.1", "unknown", "", "10.0.0.1\0", "0x0a.1", "10.1"]
)
def test_only_plain_ipv4_passes_a_list(client: str) -> None:
    with pytest.raises(Forbidden):
        access.check_ip(client, ("0.0.0.0/0",))


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (" 10.0.0.1 ", "10.0.0.1"),
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("1.2.3.4/32", "1.2.3.4/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_entries_in_normal_form(typed: str, stored: str) -> None:
    assert access.network_text(typed) == stored


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("10.0.0.5/24", r"did you mean 10\.0\.0\.0/24"),
        ("::1", "IPv6"),
        ("10.0.0.0/33", "range such as"),
        ("10.0.0.0/", "range such as"),
        ("010.0.0.1", "IPv4 address"),
        ("example.com", "IPv4 address"),
        ("", "IPv4 address"),
    ],
)
def test_wrong_entries_are_explained(typed: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        access.network_text(typed)


THREE = ("app.example.com", "example.org", "localhost")


@pytest.mark.ac("AC-1.4.2", "AC-1.4.4")
@pytest.mark.parametrize(
    "referer",
    [
        "https://app.example.com/page?x=1#y",
        "https://APP.Example.COM",
        "http://example.org:8080/",
        "https://user:secret@example.org/",
        "http://localhost",
        "http://localhost:3000?next=https://evil.example/",
    ],
)
def test_listed_hosts_pass(referer: str) -> None:
    access.check_domain(referer, "https://elsewhere.example", THREE)
    access.check_domain(None, referer, THREE)


@pytest.mark.ac("AC-1.4.1")
@pytest.mark.parametrize(
    "referer",
    [
        "https://evil.example/",
        "https://sub.app.example.com/",
        "https://example.com/",
        "https://app.example.com.evil.example/",
        "https://evil.example/https://app.example.com/",
        "https://app.example.com@evil.example/",
        "https://evil.example\\@app.example.com/",
        "https://app.example.com\\.evil.example/",
        "https://app.example.com /",
        "app.example.com",
        "null",
        "ftp://app.example.com/",
        "https://",
        "https://app.example.com:port/",
        "\x00",
        "https://" + "a" * 100_000,
    ],
)
def test_other_hosts_and_malformed_headers_are_foreign(referer: str) -> None:
    for sent in ((referer, "https://app.example.com"), (None, referer)):
        with pytest.raises(Forbidden) as caught:
            access.check_domain(*sent, THREE)
        assert caught.value.code == "domain_not_allowed"


@pytest.mark.ac("AC-1.4.3")
def test_without_referer_and_origin_the_check_does_not_apply() -> None:
    access.check_domain(None, None, THREE)
    access.check_domain("", None, THREE)


def test_no_list_does_not_restrict() -> None:
    access.check_domain("https://anywhere.example", None, ())


@given(st.text(), st.none() | st.text())
def test_no_header_breaks_the_domain_check(referer: str, origin: str | None) -> None:
    try:
        access.check_domain(referer, origin, THREE)
    except Forbidden as error:
        assert error.code == "domain_not_allowed"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Example.COM", "example.com"),
        ("https://example.com:8443/", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:80", "[::1]"),
        ("localhost", "localhost"),
    ],
)
def test_domains_in_normal_form(typed: str, stored: str) -> None:
    assert access.host_text(typed) == stored
    access.check_domain(f"http://{stored}:99/x", None, (stored,))


@pytest.mark.parametrize(
    "typed", ["", "*.example.com", "a b", "example.com/path", "-x-", "a" * 300, "ex ample", "é" * 100, "a@b"]
)
def test_wrong_domains_are_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"host|wildcards"):
        access.host_text(typed)


def test_scopes_and_models() -> None:
    access.check_scope(frozenset({"billing"}), "billing")
    with pytest.raises(Forbidden, match="inference") as caught:
        access.check_scope(frozenset({"billing"}), "inference")
    assert caught.value.code == "insufficient_scope"
    access.check_model("openai/gpt-4o", ())
    access.check_model("OpenAI/GPT-4o", ("a/b", "openai/gpt-4O"))
    with pytest.raises(Forbidden) as caught:
        access.check_model("openai/gpt-4o-mini", ("openai/gpt-4o",))
    assert caught.value.code == "model_not_allowed"


PROXIES = ("10.0.0.0/8", "fd00::/8")


def forwarded(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value.encode()) for value in values]


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("203.0.113.1", forwarded("9.9.9.9"), "203.0.113.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", forwarded("9.9.9.9"), "9.9.9.9"),
        ("10.0.0.1", forwarded("6.6.6.6, 9.9.9.9"), "9.9.9.9"),
        ("10.0.0.1", forwarded("6.6.6.6, 9.9.9.9 ,10.1.1.1"), "9.9.9.9"),
        ("10.0.0.1", forwarded("6.6.6.6", "9.9.9.9,10.1.1.1"), "9.9.9.9"),
        ("10.0.0.1", forwarded("10.2.2.2,10.1.1.1"), "10.2.2.2"),
        ("10.0.0.1", forwarded("9.9.9.9:4711"), "9.9.9.9"),
        ("10.0.0.1", forwarded("[2001:DB8::1]:443"), "2001:db8::1"),
        ("10.0.0.1", forwarded("::ffff:9.9.9.9"), "9.9.9.9"),
        ("10.0.0.1", forwarded("9.9.9.9, rubbish"), "10.0.0.1"),
        ("10.0.0.1", forwarded("rubbish, 9.9.9.9"), "9.9.9.9"),
        ("10.0.0.1", forwarded(""), "10.0.0.1"),
        ("10.0.0.1", forwarded("9.9.9.9" + ",10.0.0.9" * 1000), "10.0.0.9"),
        ("10.0.0.1", [(b"x-real-ip", b"9.9.9.9")], "9.9.9.9"),
        ("10.0.0.1", [(b"x-real-ip", b"\xff")], "10.0.0.1"),
        ("10.0.0.1", [(b"x-real-ip", b"6.6.6.6"), *forwarded("9.9.9.9")], "9.9.9.9"),
        ("::ffff:10.0.0.1", forwarded("9.9.9.9"), "9.9.9.9"),
        ("fd00::1", forwarded("9.9.9.9"), "9.9.9.9"),
        ("fe80::1%eth0", [], "fe80::1"),
        (None, forwarded("9.9.9.9"), "unknown"),
        ("not an address", forwarded("9.9.9.9"), "unknown"),
    ],
)
def test_the_client_behind_proxies(peer: str | None, headers: list[tuple[bytes, bytes]], client: str) -> None:
    assert access.client_address(peer, headers, PROXIES) == client


@given(peer=ADDRESSES, sent=st.lists(ADDRESSES, max_size=5))
def test_without_trusted_proxies_headers_say_nothing(peer: str, sent: list[str]) -> None:
    headers = [*forwarded(", ".join(sent)), (b"x-real-ip", b"9.9.9.9")]
    expected = ipaddress.ip_address(peer)
    mapped = getattr(expected, "ipv4_mapped", None)
    assert access.client_address(peer, headers) == str(mapped or expected)


@given(peer=st.none() | st.text(), values=st.lists(st.binary(max_size=200), max_size=4), real=st.binary(max_size=80))
@example(peer="10.0.0.1", values=[b"\xff" * 200], real=b"")
def test_garbage_gives_an_address_or_unknown(peer: str | None, values: list[bytes], real: bytes) -> None:
    headers = [(b"x-forwarded-for", value) for value in values] + [(b"x-real-ip", real)]
    for given_peer in (peer, "10.0.0.1"):
        client = access.client_address(given_peer, headers, PROXIES)
        assert client == "unknown" or str(ipaddress.ip_address(client)) == client


@given(
    client=V4.filter(lambda ip: not ip.startswith("10.")), forged=st.lists(ADDRESSES | st.text(max_size=20), max_size=5)
)
def test_forged_hops_to_the_left_change_nothing(client: str, forged: list[str]) -> None:
    """What the client itself sends stands left of what our proxy adds."""
    sent = ",".join([*forged, client]).encode("utf-8", "replace")
    assert access.client_address("10.0.0.1", [(b"x-forwarded-for", sent)], PROXIES) == client
