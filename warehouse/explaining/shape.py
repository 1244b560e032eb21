"""How a text file is written: encoding, delimiter, header, lines that are no records, decimals, empty values."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field

from warehouse.explaining.guess import CERTAIN, LIKELY, UNSURE, Guess

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_HAS_DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}|\d{1,2}:\d{2}")
_UNIT_CELL = re.compile(r"[\[(]?[A-Za-z°%Ωµ/*²³·0-9]{0,8}[\])]?|-")
_EMPTY_WORDS = ("-", "--", "n/a", "N/A", "#N/A", "none", "NULL", "Null", "undefined", "unknown", "k.A.")
_DEFAULT_EMPTY = ("", "NA", "NaN", "nan", "null", "None")
MOST_LINES = 5000


@dataclass
class Shape:
    """A table as its head shows it."""

    names: list[str]
    cells: dict[str, list[str]]
    file: dict[str, object] = field(default_factory=dict)  # keys of [file] that differ from the defaults
    lines: dict[str, object] = field(default_factory=dict)  # keys of [lines]
    units: dict[str, str] = field(default_factory=dict)  # from a line of units
    guesses: list[Guess] = field(default_factory=list)
    joined: dict[str, tuple[str, str]] = field(default_factory=dict)  # made of a column of days and one of clocks
    decimal: str = "."
    json: bool = False


def decoded(data: bytes) -> tuple[str, str, Guess]:
    """Text of a head, its encoding, and why."""
    body = data.removeprefix(b"\xef\xbb\xbf")
    # The head may end inside a character.
    for cut in range(4):
        try:
            text = body[: len(body) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        why = "all bytes are ASCII" if text.isascii() else "all bytes are valid UTF-8"
        return text, "utf-8", Guess("encoding", "utf-8", CERTAIN if not text.isascii() else LIKELY, why)
    if any(0x80 <= byte <= 0x9F for byte in body):
        why = "not UTF-8, and bytes 80 to 9F are in use, which Latin-1 leaves empty"
        return body.decode("cp1252", "replace"), "cp1252", Guess("encoding", "cp1252", LIKELY, why)
    why = "not UTF-8; every byte is a Latin-1 letter"
    return body.decode("latin-1"), "latin-1", Guess("encoding", "latin-1", LIKELY, why)


def table_shape(data: bytes, whole: bool) -> Shape | None:
    """Shape of a delimited text file by its head, `None` when it is no table.

    Parameters
    ----------
    data
        Decompressed bytes of the head.
    whole
        Whether that is the whole file (else the last line may be cut).
    """
    text, encoding, why_encoding = decoded(data)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not whole and len(lines) > 1:
        lines.pop()
    lines = [line for line in lines if line.strip()][:MOST_LINES]
    found = _delimiter(lines)
    if found is None:
        return None
    delimiter, width, share = found
    guesses = [why_encoding]
    confidence = CERTAIN if share > 0.98 and width > 2 else LIKELY if share > 0.8 else UNSURE
    why = f"{share:.0%} of {len(lines)} lines have {width} fields by it"
    guesses.append(Guess("delimiter", DELIMITERS[delimiter], confidence, why))
    rows = [next(csv.reader([line], delimiter=delimiter)) for line in lines]
    right = [i for i, row in enumerate(rows) if len(row) == width]
    # Lines of an export's title are padded with empty fields.
    first = next((i for i in right[:50] if sum(bool(c.strip()) for c in rows[i]) > 0.5 * width), right[0])
    shape = Shape([], {}, guesses=guesses)
    if first:
        shape.lines["before"] = first
        guesses.append(
            Guess("lines before the header", str(first), LIKELY, "other numbers of fields, or hardly one filled")
        )
    body = rows[first:]
    names = [cell.strip() for cell in body[0]]
    if _is_header(body):
        guesses.append(Guess("header", f"line {first + 1}", CERTAIN, "its fields are words, those below are values"))
        body = body[1:]
    else:
        names = [f"column_{i + 1}" for i in range(width)]
        shape.file["header"] = names
        guesses.append(Guess("header", "none", UNSURE, "the first line already holds values; names are made up"))
    if body and len(body) > 1 and _is_units(body[0]) and not _is_units(body[1]):
        shape.lines["after"] = 1
        shape.units = {n: u.strip(" []()") for n, u in zip(names, body[0], strict=False)}
        guesses.append(Guess("line of units", f"line {first + 2}", LIKELY, "it holds units and no value"))
        body = body[1:]
    other = Counter(len(row) for row in body if len(row) != width)
    if other:
        odd = ", ".join(f"{n} of {w}" for w, n in other.most_common(3))
        longer = sorted(w for w, n in other.items() if w > width and n > 1)
        said = "they are cut off or damaged, and will be refused"
        if longer:
            shape.lines["widths"] = [width, *longer]
            said = "longer ones come again: columns added at the end, which are left out"
        guesses.append(Guess("lines of other lengths", odd, LIKELY if longer else UNSURE, said))
    good = [row for row in body if len(row) == width]
    shape.names = names
    shape.cells = {name: [row[i].strip() for row in good] for i, name in enumerate(names) if name}
    if delimiter != ",":
        shape.file["delimiter"] = delimiter
    if encoding != "utf-8":
        shape.file["encoding"] = encoding
    _decimals(shape, delimiter)
    _empties(shape)
    return shape


def _delimiter(lines: list[str]) -> tuple[str, int, float] | None:
    best: tuple[float, int, str, int] | None = None
    for mark in DELIMITERS:
        try:
            widths = Counter(len(row) for row in csv.reader(lines, delimiter=mark))
        except csv.Error:
            continue
        width, count = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))
        if width < 2:
            continue
        share = count / sum(widths.values())
        if best is None or (round(share, 1), width) > (round(best[0], 1), best[1]):
            best = (share, width, mark, count)
    return None if best is None else (best[2], best[1], best[0])


def is_number(text: str) -> bool:
    """Whether a cell is a number in one of the usual spellings."""
    return bool(_NUMBER.fullmatch(text))


def _is_header(rows: list[list[str]]) -> bool:
    first = [cell.strip() for cell in rows[0]]
    if any(is_number(cell) or _HAS_DATE.search(cell) for cell in first if cell):
        return False
    if len(rows) < 2:
        return True
    below = [cell.strip() for row in rows[1:20] for cell in row]
    return any(is_number(cell) or _HAS_DATE.search(cell) for cell in below) or len(set(first)) == len(first)


def _is_units(row: list[str]) -> bool:
    cells = [cell.strip() for cell in row]
    filled = [cell for cell in cells if cell]
    if not filled or any(is_number(cell) or _HAS_DATE.search(cell) for cell in filled):
        return False
    return all(_UNIT_CELL.fullmatch(cell) for cell in filled)


def _decimals(shape: Shape, delimiter: str) -> None:
    comma = point = 0
    for cells in shape.cells.values():
        numbers = [c for c in cells[:500] if is_number(c)]
        comma += sum("," in c for c in numbers)
        point += sum("." in c for c in numbers)
    if delimiter == ",":
        comma = 0
    if comma and comma > point:
        shape.decimal = shape.file["decimal"] = ","  # type: ignore[assignment]
        why = f"{comma} numbers have a comma, {point} a point"
        shape.guesses.append(Guess("decimal", "comma", CERTAIN if point == 0 else UNSURE, why))
    elif point:
        why = f"{point} numbers have a point, {comma} a comma"
        shape.guesses.append(Guess("decimal", "point", CERTAIN if comma == 0 else UNSURE, why))


def _empties(shape: Shape) -> None:
    words = Counter(c for cells in shape.cells.values() for c in cells if c in _EMPTY_WORDS)
    if words:
        shape.file["null_values"] = [*_DEFAULT_EMPTY, *sorted(words)]
        said = ", ".join(repr(w) for w in sorted(words))
        shape.guesses.append(Guess("empty values", said, LIKELY, f"{sum(words.values())} cells hold them"))
