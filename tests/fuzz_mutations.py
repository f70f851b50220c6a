"""Inputs that differ from good ones in a few places: bytes, lines, and the values of JSON, also where it lies in another file.

Everything is drawn from one `Random`, so that a seed repeats a campaign, and hypothesis (`st.randoms()`) can draw and shrink.
"""

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

LONGEST = 1 << 16
"""Bytes of an input."""

TOKENS = (
    *(
        "\0",
        "\ufeff",
        "\u200b",
        "\u202e",
        "\u2028",
        "\x1b[31m",
        "\x85",
        "😀",
        "\r",
        "\r\n",
        "\n\n",
        "\t",
        " ",
        ",",
        ";",
        '"',
        '""',
    ),
    *(
        "'",
        "\\",
        "\\ud800",
        "\\u0000",
        "{",
        "}",
        "[",
        "]",
        "[[[[",
        '{"a":',
        ":",
        "null",
        "true",
        "NaN",
        "Infinity",
        "-Infinity",
    ),
    *(
        "1e999",
        "-1",
        "0",
        "1e-9",
        "0.5",
        "9" * 400,
        "-" + "9" * 400,
        "9" * 5000,
        "18446744073709551616",
        "2147483648",
        "x" * 40,
    ),
    *(
        "<|im_end|>",
        "<|im_start|>assistant\n",
        "</script><script>x()</script>",
        "<img src=x onerror=x()>",
        "&lt;",
        "<!--",
        "]]>",
    ),
    *(
        "{{ 7 * 7 }}",
        "=1+1",
        "../../x",
        "/etc/passwd",
        "http://example.org/",
        "%s%n",
        "request",
        "goal",
        "role",
        "id",
        "format",
    ),
)
_RAW = (b"\xff", b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xe9", b"\x00\x00\x00\x00", b"\xff" * 8, b"GGUF", b"PK\x03\x04")
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, 1e300, float("inf"), float("nan"), 2**31, 2**63, -(2**63), 10**400, -(10**4000)),
    *("", "0", "a", "\0", "\ud800", "\x1b[31m", "text", "x" * 300, "<script>", [], {}, [[]], [0, 0], [[0, 0]], [-1, 0]),
    *({"value": None}, {"value": 0.5}, {"value": "a", "n": []}, "int64", "text", "float64", "U9", "datetime64[ns]", "category"),
)
Way = Callable[[Random, bytes, Sequence[bytes]], bytes]


def mutated(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """`data` changed in one to five places.

    Args:
        others: good inputs; pieces are taken from them.
    """
    ways: Sequence[Way] = (_flipped, _cut, _repeated, _spliced, _inserted, _inserted, _lines)
    if (data[:1] in (b"{", b"[") or _header_of(data)) and random.random() < 0.7:
        ways = (_structured,)
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        data = random.choice(ways)(random, data, others)
    return data[:LONGEST]


def _flipped(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]


def _cut(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(random, data)
    return random.choice((data[:start], data[:start] + data[end:]))


def _repeated(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(random, data)
    return data[:start] + data[start:end] * random.choice((2, 3, 50, 2000)) + data[end:]


def _spliced(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    (start, end), (first, last) = _span(random, data), _span(random, other)
    return data[:start] + other[first:last] + data[end:]


def _inserted(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Something that means more than it says, instead of some bytes or between them."""
    token = random.choice((*(token.encode() for token in TOKENS), *_RAW))
    start, end = _span(random, data)
    return data[:start] + token * random.choice((1, 1, 1, 2, 300)) + data[random.choice((start, end)) :]


def _lines(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    lines = data.splitlines(keepends=True) or [data]
    at, to = random.randrange(len(lines)), random.randrange(len(lines))
    lines[at], lines[to] = lines[to], lines[at]
    return b"".join(random.choice((lines, lines[:at] + lines[at + 1 :], [*lines, lines[at]], [lines[at], *lines])))


def _span(random: Random, data: bytes) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.choice((0, 1, 2, 4, 8, 32, 400)))


# Values of JSON


def _structured(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One value of a JSON file, of a line of it, or of the header of a safetensors file."""
    if header := _header_of(data):
        text = _written(random, header[0])
        return struct.pack("<Q", len(text)) + text + header[1]
    whole = _json_of(data)
    if whole is not None:
        return _written(random, whole)
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    value = _json_of(lines[at])
    if value is not None:
        lines[at] = _written(random, value)
    return b"\n".join(lines)


def _written(random: Random, value: Any) -> bytes:
    text = json.dumps(_changed(random, value), ensure_ascii=random.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


def _changed(random: Random, value: Any) -> Any:
    """The value with one of its parts changed, at any depth."""
    if isinstance(value, str) and value[:1] in ("[", "{"):  # JSON in JSON
        inner = _json_of(value.encode("utf-8", "surrogatepass"))
        return value if inner is None else json.dumps(_changed(random, inner))
    if not isinstance(value, dict | list) or not value or random.random() < 0.08:
        return random.choice(_VALUES)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    at = random.choice(keys)
    if random.random() < 0.85:
        changed = _changed(random, value[at])
        return {**value, at: changed} if isinstance(value, dict) else [*value[:at], changed, *value[at + 1 :]]
    if isinstance(value, dict):
        others = {key: own for key, own in value.items() if key != at}
        return random.choice((others, others | {random.choice(TOKENS): value[at]}))
    return random.choice(([*value[:at], *value[at + 1 :]], value[: at + 1] * 2, value[at]))


def _json_of(data: bytes) -> Any:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _header_of(data: bytes) -> tuple[Any, bytes] | None:
    """The header of a safetensors file, and what follows it."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = _json_of(data[8:end]) if len(data) > 8 and end <= len(data) else None
    return None if header is None else (header, data[end:])
