"""Fields that several bodies share: names, ids, times and addresses, checked where strangers' JSON comes in."""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from gatewayz.accounts import emails
from gatewayz.infra.clock import US_PER_S
from gatewayz.policy.access import host_text, network_text

_LARGEST_ID = 2**63 - 1
# Controls, lone surrogates, line and paragraph separators: they forge log lines and break terminals.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Marks that turn the reading direction: a name could show as another one.
_REFUSED_LETTERS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def one_line(text: str) -> str:
    """The text in Unicode normal form. Raises ValueError for control characters and direction marks."""
    for letter in text:
        if letter in _REFUSED_LETTERS or unicodedata.category(letter) in _REFUSED_CATEGORIES:
            raise ValueError("must not contain control characters")
    return unicodedata.normalize("NFC", text)


def _email(text: str) -> str:
    return emails.read_email(one_line(text)).text


Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(one_line)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(one_line)]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000), AfterValidator(one_line)
]
Id = Annotated[int, Field(ge=1, le=_LARGEST_ID)]
EmailText = Annotated[str, StringConstraints(max_length=320), AfterValidator(_email)]
Network = Annotated[str, StringConstraints(max_length=64), AfterValidator(network_text)]
Host = Annotated[str, StringConstraints(max_length=300), AfterValidator(host_text)]
ModelName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(one_line)
]


class StrictBody(BaseModel):
    """A body in which an unknown field is an error: a mistyped restriction would restrict nothing."""

    model_config = ConfigDict(extra="forbid")


def us_of(moment: datetime) -> int:
    """Microseconds since the epoch; a time without zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    whole = aware.replace(microsecond=0)
    return round(whole.timestamp()) * US_PER_S + aware.microsecond
