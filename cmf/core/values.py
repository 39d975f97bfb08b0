"""Values that are recorded: what users hand over, as JSON that every store and language can hold.

JSON has no word for NaN, infinities and integers that a double cannot hold; they become tagged objects:

    NaN, inf, -inf    {"$number": "NaN"}, {"$number": "Infinity"}, {"$number": "-Infinity"}
    2**53             {"$number": "9007199254740992"}      (every integer of 2**53 and above, either sign)

A user's own object that looks like a tag, its single key being `$number` or `$object`, is wrapped:
`{"$object": {...}}`. Everything behind the recording API holds the tagged form; `from_json` gives back
what the user recorded.
"""

from __future__ import annotations

import datetime
import enum
import math
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import rfc8785

from cmf.core.errors import InvalidValue

if TYPE_CHECKING:
    Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
else:  # msgspec knows no recursive alias
    Json = Any

MAX_VALUE_BYTES = 1 << 20
"""The greatest size of one value as JSON; more is content, and belongs in a file that is an artifact."""

MAX_DEPTH = 64
"""How deep lists and objects may be nested."""

MAX_INTEGER_BITS = 8192
"""The greatest size of an integer."""

MAX_NAME = 1000
"""The greatest length of a name, in characters."""

_EXACT = 2**53
_DIGITS = re.compile(r"[1-9][0-9]{15,2500}")
_TAGS = ("$number", "$object")


def to_json(value: object, what: str = "value") -> Json:
    """The recorded form of what a user handed over; `what` names it in errors.

    Tuples and sets become lists (sets sorted), enums their value, paths and times text, numpy scalars and
    0-d arrays (anything with `.item()`) plain numbers; keys that are numbers, booleans or None become text
    as in the standard library's json.

    Raises:
        InvalidValue: nothing JSON can hold, nested too deep, larger than MAX_VALUE_BYTES.

    >>> to_json({1: float("nan"), "big": 2**60})
    {'1': {'$number': 'NaN'}, 'big': {'$number': '1152921504606846976'}}
    """
    result = _convert(value, what, MAX_DEPTH)
    size = len(encode(result))
    if size > MAX_VALUE_BYTES:
        raise InvalidValue(
            f"{what} is {size / 2**20:.1f} MiB; a value may have up to {MAX_VALUE_BYTES >> 20} MiB. "
            f"Write it to a file and record that as an artifact."
        )
    return result


def from_json(value: Json) -> Any:
    """What the user recorded, from its recorded form.

    >>> from_json({"$number": "Infinity"})
    inf
    """
    match value:
        case {"$number": str(text)} if _single(value):
            return int(text) if text.lstrip("-").isdigit() else float(text)
        case {"$object": dict(inner)} if _single(value):
            return {key: from_json(item) for key, item in inner.items()}
        case dict():
            return {key: from_json(item) for key, item in value.items()}
        case list():
            return [from_json(item) for item in value]
        case _:
            return value


def as_float(number: int | float | Mapping[str, Json]) -> float:
    """The double that is nearest to a recorded number; an infinity where it is beyond all doubles.

    >>> as_float({"$number": "9007199254740993"})
    9007199254740992.0
    """
    if isinstance(number, Mapping):
        number = float(str(number["$number"]))  # reads the digits of an integer too, and never overflows
    return float(number)


def microseconds(seconds: float) -> int:
    """A time in seconds as whole microseconds, which is all that a double of today's time can tell apart."""
    return round(seconds * 1_000_000)


def check_json(value: Json, what: str = "value") -> None:
    """That a value from elsewhere is in the recorded form.

    Raises:
        InvalidValue: an untagged number that needs a tag, nesting too deep, a malformed tag.
    """
    _check(value, what, MAX_DEPTH)


def check_number(tagged: Mapping[str, Json], what: str) -> None:
    """That an object from elsewhere is the recorded form of a number.

    Raises:
        InvalidValue: it is another object, or no number that needs a tag.
    """
    if tagged.keys() != {"$number"}:
        raise InvalidValue(f"{what}: an object that is not {{'$number': …}} is no number")
    _check_tag(tagged["$number"], what)


def check_name(name: str, what: str) -> str:
    """That `name` can name something: 1 to MAX_NAME characters, none of them a control character."""
    if not isinstance(name, str):
        raise InvalidValue(f"{what} must be text, not {type(name).__name__}")
    if not 0 < len(name) <= MAX_NAME or any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise InvalidValue(f"{what} {name[:60]!r} must have 1 to {MAX_NAME} characters and no control characters")
    check_text(name, what)
    return name


def check_path(path: str) -> str:
    """That a path can be recorded.

    Raises:
        InvalidValue: it cannot.
    """
    try:
        path.encode()
    except UnicodeEncodeError as exc:
        raise InvalidValue(f"the path {path!r} is not valid UTF-8, which JSON needs; rename it") from exc
    if "\0" in path:
        raise InvalidValue(f"the path {path[:60]!r} has a NUL character")
    if not 0 < len(path) <= 4096:
        raise InvalidValue(f"the path {path[:60]!r}… has {len(path)} characters; up to 4096 can be recorded")
    return path


def fit(text: str, otherwise: str = "?") -> str:
    """A text as a name can hold it: without control characters, not too long, not empty."""
    if text.isprintable() and 0 < len(text) <= MAX_NAME:
        return text
    plain = "".join("\N{REPLACEMENT CHARACTER}" if ord(c) < 32 or ord(c) == 127 else c for c in text)
    return plain[:MAX_NAME] or otherwise


def base_name(path: str) -> str:
    """What to call an artifact that was used under a path: its last part."""
    return fit(path.rstrip("/").rpartition("/")[2] or path)


def canonical(value: Json) -> bytes:
    """The one sequence of bytes that stands for a value: RFC 8785 over the recorded form."""
    # msgspec's sorted JSON is RFC 8785 to the byte, and twenty times faster, but for keys beyond ASCII and for
    # floats that the two write differently (a property test holds it there).
    try:
        return msgspec.json.encode(_plain(value), order="sorted")
    except _NotPlainError:
        return rfc8785.dumps(value)


def canonical_text(value: dict[str, str]) -> bytes:
    """`canonical` of an object of texts with ASCII names: most of what is hashed, without looking through it."""
    return msgspec.json.encode(value, order="sorted")


def encode(value: object) -> bytes:
    """JSON bytes of a recorded value or of any of cmf's structs."""
    return _ENCODER.encode(value)


_ENCODER = msgspec.json.Encoder()


def _convert(value: object, what: str, depth: int) -> Json:
    match value:
        case None | bool():
            return value
        case enum.Enum():
            return _convert(value.value, what, depth)
        case str():
            return check_text(str(value), what)
        case int():
            return _number(int(value))
        case float():
            return _number(float(value))
        case os.PathLike():
            return check_text(os.fspath(value), what)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
    if depth == 0:
        raise InvalidValue(f"{what} is nested deeper than {MAX_DEPTH} levels, or contains itself")
    match value:
        case Mapping():
            return _convert_mapping(value, what, depth)
        case list() | tuple():
            return [_convert(item, what, depth - 1) for item in value]
        case set() | frozenset():
            return sorted((_convert(item, what, depth - 1) for item in value), key=encode)
    if callable(item := getattr(value, "item", None)):
        return _convert_item(value, item, what, depth)
    raise InvalidValue(f"{what} is a {type(value).__name__}, which JSON cannot hold; convert it to text or numbers")


def _convert_mapping(value: Mapping[Any, Any], what: str, depth: int) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for key, item in value.items():
        name = _key_text(key, what)
        if name in result:
            raise InvalidValue(f"{what} has two keys that are both written {name!r}")
        result[name] = _convert(item, f"{what}[{name!r}]", depth - 1)
    if len(result) == 1 and next(iter(result)) in _TAGS:
        return {"$object": result}
    return result


def _convert_item(value: object, item: Any, what: str, depth: int) -> Json:
    """A numpy scalar, a 0-d array, a one-element tensor."""
    try:
        plain = item()
    except Exception as exc:
        raise InvalidValue(f"{what} is a {type(value).__name__} of several elements; use .tolist()") from exc
    return _convert(plain, what, depth - 1)


def _key_text(key: object, what: str) -> str:
    match key:
        case enum.Enum():
            return _key_text(key.value, what)
        case str():
            return check_text(str(key), what)
        case None | bool() | int() | float():
            return _key_of_number(key)
    raise InvalidValue(f"{what} has a key that is a {type(key).__name__}; keys are text or numbers")


def _key_of_number(key: bool | int | float | None) -> str:
    if key is None or isinstance(key, bool):
        return encode(key).decode()
    return _digits(int(key)) if isinstance(key, int) else float.__repr__(key)


def _number(value: int | float) -> Json:
    if isinstance(value, int):
        return value if -_EXACT < value < _EXACT else {"$number": _digits(value)}
    if math.isfinite(value):
        return value
    return {"$number": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}


def _digits(value: int) -> str:
    if value.bit_length() > MAX_INTEGER_BITS:
        raise InvalidValue(f"an integer of {value.bit_length()} bits; up to {MAX_INTEGER_BITS} can be recorded")
    return str(value)


def check_text(text: str, what: str) -> str:
    """That a text is valid Unicode.

    Raises:
        InvalidValue: it is not.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidValue(f"{what} {text!r} is not valid Unicode text") from exc
    return text


def _single(value: object) -> bool:
    return isinstance(value, dict) and len(value) == 1


def _check(value: Json, what: str, depth: int) -> None:
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int | float):
        # Of what a decoder makes, only an integer of 2**53 and above needs a tag, NaN, and an infinity.
        if not -_EXACT < value < _EXACT and isinstance(_number(value), dict):
            raise InvalidValue(f"{what}: the number {value} must be tagged as {{'$number': …}}")
        return
    if depth == 0:
        raise InvalidValue(f"{what} is nested deeper than {MAX_DEPTH} levels")
    match value:
        case list():
            for item in value:
                _check(item, what, depth - 1)
        case {"$number": text} if len(value) == 1:
            _check_tag(text, what)
        case {"$object": inner} if len(value) == 1:
            if not isinstance(inner, dict) or len(inner) != 1 or next(iter(inner)) not in _TAGS:
                raise InvalidValue(f"{what}: {{'$object': …}} wraps what looks like a tag, and nothing else")
            for item in inner.values():
                _check(item, what, depth - 1)
        case dict():
            for item in value.values():
                if type(item) is not str:
                    _check(item, what, depth - 1)
        case _:
            raise InvalidValue(f"{what} is not JSON")


def _check_tag(text: object, what: str) -> None:
    if text in ("NaN", "Infinity", "-Infinity"):
        return
    digits = text.removeprefix("-") if isinstance(text, str) else ""
    if _DIGITS.fullmatch(digits) and int(digits) >= _EXACT:
        return
    raise InvalidValue(f"{what}: {{'$number': {text!r}}} is no number that needs a tag")


_SIMPLE = frozenset((str, int, bool, type(None)))
"""What every writer of JSON writes alike. (An integer that needs a tag has one by now.)"""


class _NotPlainError(Exception):
    pass


def _plain(value: Json) -> Json:
    """A value that msgspec writes as RFC 8785 wants `value` written; most often the very same one."""
    kind = type(value)
    if kind in _SIMPLE:
        return value
    if isinstance(value, dict):
        if not "".join(value).isascii():
            raise _NotPlainError
        changed: dict[str, Json] = {}
        for key, item in value.items():
            if type(item) not in _SIMPLE and (plain := _plain(item)) is not item:
                changed[key] = plain
        return value | changed if changed else value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        if value.is_integer() and -_EXACT < value < _EXACT:
            return int(value)  # 1.0 is written 1
        if not 1e-4 <= abs(value) < 1e15:
            raise _NotPlainError
    return value
