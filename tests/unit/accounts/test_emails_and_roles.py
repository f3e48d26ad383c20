"""E-mail addresses as identities, and the table of roles."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.accounts import emails, roles
from gatewayz.core.caller import Role


@pytest.mark.parametrize(
    ("typed", "normalised"),
    [
        ("Jo@Example.COM", "jo@example.com"),
        (" jo@example.com ", "jo@example.com"),
        ("jo+tag@example.com", "jo+tag@example.com"),
        ("J.o.e+tag@gmail.com", "joe@gmail.com"),
        ("joe@googlemail.com", "joe@gmail.com"),
        ("jo.e+tag@outlook.com", "jo.e@outlook.com"),
        ("joe@bücher.example", "joe@xn--bcher-kva.example"),
        ("+only@gmail.com", "+only@gmail.com"),
    ],
)
def test_one_person_has_one_form(typed: str, normalised: str) -> None:
    assert emails.read_email(typed).normalised == normalised


@pytest.mark.parametrize(
    "typed", ["", "joe", "@example.com", "joe@", "a@b@c.example", "joe@example", "joe@-x.example", "a b@c.de"]
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="is not an e-mail address"):
        emails.read_email(typed)


@given(st.text(max_size=50))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        email = emails.read_email(text)
    except ValueError:
        return
    assert email.normalised.count("@") >= 1
    assert emails.read_email(email.normalised).normalised == email.normalised


@pytest.mark.ac("AC-CC.12.9")
def test_throw_away_domains() -> None:
    assert emails.is_disposable(emails.read_email("user@tempmail.com"))
    assert emails.is_disposable(emails.read_email("user@deep.down.mailinator.com"))
    assert not emails.is_disposable(emails.read_email("user@example.com"))
    assert not emails.is_disposable(emails.read_email("user@mytempmail.com.example"))
    assert emails.is_disposable(emails.read_email("user@example.com"), (" EXAMPLE.com",))


@pytest.mark.ac("AC-1.2.5")
def test_every_role_has_permissions_and_a_number_of_keys() -> None:
    assert set(roles.PERMISSIONS) == set(roles.MAX_KEYS) == set(get_args(Role))
    for listed in roles.PERMISSIONS.values():
        assert len(set(listed)) == len(listed)
        assert set(listed) <= set(roles.PERMISSIONS["admin"])
    assert set(roles.ALIASES) & set(roles.PERMISSIONS) == set()


def test_names_and_aliases() -> None:
    named = [roles.canonical(name) for name in (" Admin", "DEV", "free", "team", "king", "")]
    assert named == ["admin", "developer", "user", "team", None, None]


def test_support_reads_and_changes_nothing() -> None:
    assert roles.allows("support", "users:read")
    others = set(roles.PERMISSIONS["support"]) - set(roles.PERMISSIONS["user"])
    assert all(permission.endswith(":read") for permission in others)
    assert not roles.allows("support", "roles:write")
    assert not roles.allows("user", "users:read")
