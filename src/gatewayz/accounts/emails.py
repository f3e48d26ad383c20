"""E-mail addresses: are they well formed, whose are they, and are they throw-away ones?"""

from collections.abc import Collection
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

# Hosts that deliver `name+anything@` to `name@`; the second also ignores dots in the name.
_PLUS_HOSTS = frozenset(
    {"gmail.com", "outlook.com", "hotmail.com", "live.com", "icloud.com", "fastmail.com", "proton.me"}
)
_DOT_HOSTS = frozenset({"gmail.com"})
_SAME_HOST = {"googlemail.com": "gmail.com", "protonmail.com": "proton.me", "me.com": "icloud.com"}
# Missing in the public list.
_ALSO_DISPOSABLE = frozenset({"tempmail.com", "temp-mail.com", "throwawaymail.com", "10minutemail.net"})


@dataclass(frozen=True, slots=True)
class Email:
    """An address as given (`text`) and in the form by which a person is recognised (`normalised`, ASCII domain)."""

    text: str
    normalised: str

    @property
    def domain(self) -> str:
        """ASCII domain in lower case."""
        return self.normalised.rpartition("@")[2]


def read_email(text: str) -> Email:
    """The address. Raises ValueError with a sentence for the person who typed it. No look-ups are made."""
    try:
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"is not an e-mail address: {error}") from None
    domain = found.ascii_domain.lower()
    domain = _SAME_HOST.get(domain, domain)
    local = found.local_part.lower()
    if domain in _PLUS_HOSTS:
        local = local.partition("+")[0] or local
    if domain in _DOT_HOSTS:
        local = local.replace(".", "") or local
    return Email(found.normalized, f"{local}@{domain}")


def is_disposable(email: Email, also: Collection[str] = ()) -> bool:
    """True if the domain or a parent of it is known for throw-away mail, or stands in `also` (the operator's list)."""
    from disposable_email_domains import blocklist  # large, and of use at registrations only

    operator = {domain.strip().lower() for domain in also}
    labels = email.domain.split(".")
    for start in range(len(labels) - 1):
        domain = ".".join(labels[start:])
        if domain in blocklist or domain in _ALSO_DISPOSABLE or domain in operator:
            return True
    return False
