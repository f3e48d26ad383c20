"""JSON as nobody writes it and anybody may send it: odd spellings, blanks, the same name twice, values of any kind."""

from hypothesis import strategies as st

BLANKS = st.sampled_from([b"", b"", b"", b" ", b"\n  ", b"\t", b"\r\n"])
# Numbers of every spelling, texts with escapes and torn characters, and what is no JSON at all.
ODD = st.sampled_from(
    [
        *(b"null", b"true", b"false", b"0", b"1", b"-1", b"7", b"-0", b"1.0", b"7e0", b"0.5", b"1.5E+1", b"1e400"),
        *(b"1" * 30, b"18446744073709551615", b"9223372036854775808", b"NaN", b"Infinity", b"01"),
        *(b'""', b'"x"', b'" "', b'"auto"', b'"none"', b'"\\u0061"', b'"\\ud83d\\ude00"', b'"\\ud83d"', b'"\xc3\xa9"'),
        *(b'"\xff"', b'"\\""', b'"developer"', b'"d\\u0065veloper"', b'"text"', b'"json_object"', b'"stop"', b'"eos"'),
        *(b"[]", b"{}", b"[1]", b'["x"]', b"[null]", b"[{}]", b'{"a":1}', b'{"type":"text"}', b'{"type":5}', b"[[]]"),
        *(
            b'{"include_usage":true}',
            b'{ "include_usage" : true, "x":1.50}',
            b'{"type":"enabled","budget_tokens":2048}',
        ),
        *(b'{"type":"json_schema","json_schema":{}}', b'{"type":"function","function":{"name":"f","arguments":{}}}'),
        *(
            b'[{"type":"function","function":{"name":"f"}}]',
            b'{"a":' * 120 + b"1" + b"}" * 120,
            b"[" * 210 + b"]" * 210,
        ),
    ]
)


def members(known: dict[str, st.SearchStrategy[bytes]], *, most: int = 6) -> st.SearchStrategy[bytes]:
    """Objects with each of the `known` members, of usual value mostly, and some of them again or in another spelling."""
    usual = st.tuples(*[st.tuples(st.just(name), value) for name, value in known.items()]).map(list)
    again = st.lists(st.tuples(st.sampled_from([*known, "x", "model"]), ODD), max_size=1)
    return st.builds(_written, usual, again, st.integers(0, most), BLANKS, st.integers(0, 30))


def _written(usual: list[tuple[str, bytes]], odd: list[tuple[str, bytes]], place: int, blank: bytes, at: int) -> bytes:
    """The members as an object; the odd ones stand at `place`, the name of the one `at` which is counted has an escape."""
    pairs = [*usual[:place], *odd, *usual[place:]]
    names = [f'"{name}"'.encode() for name, _ in pairs]
    if at < len(pairs):
        name = pairs[at][0]
        names[at] = f'"\\u{ord(name[0]):04x}{name[1:]}"'.encode()
    written = [name + b":" + blank + value for name, (_, value) in zip(names, pairs, strict=True)]
    return b"{" + blank + (b"," + blank).join(written) + blank + b"}"


def mostly(*usual: bytes, odd: int = 30) -> st.SearchStrategy[bytes]:
    """One of the usual values, or (one time in `odd`) any."""
    return st.integers(1, odd).flatmap(lambda drawn: ODD if drawn == 1 else st.sampled_from(usual))


def array(item: st.SearchStrategy[bytes], most: int = 3) -> st.SearchStrategy[bytes]:
    """Arrays of these."""
    return st.lists(item, min_size=1, max_size=most).map(lambda items: b"[" + b",".join(items) + b"]")
