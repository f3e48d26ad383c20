"""Headers of a reply: found in any case, read-only, decoded when asked for."""

from collections.abc import Iterator, Mapping


class Headers(Mapping[str, str]):
    """Header values by name; of a repeated header the first."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        """`fields` by lower-case name."""
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        value = self._fields.get(name.lower().encode())
        if value is None:
            raise KeyError(name)
        return value.strip(b" \t").decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("ascii") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        # Replies of token servers carry secrets; a log line must not.
        return f"Headers({', '.join(self)})"
