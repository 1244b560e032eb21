"""What a file's head tells: a known format by name, or a proposed one with the reason of every guess.

Nothing is guessed silently: each guess bears a reason and one of the words certain, likely, unsure, unknown; what
cannot be told stands in the proposal as a comment to fill in.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import polars as pl

from warehouse.explaining.columns import draft
from warehouse.explaining.guess import CERTAIN, LIKELY, UNKNOWN, UNSURE, Guess
from warehouse.explaining.render import toml_of
from warehouse.explaining.shape import Shape, table_shape
from warehouse.formatspec import FormatError, load_format, packaged_formats, parse_format
from warehouse.readers import jsondocs
from warehouse.readers.choose import read_any
from warehouse.readers.nested import flat_cells
from warehouse.readers.ocpp_dialect import NEW, OLD, words_of_21
from warehouse.readers.source import RefusedFile

_KNOWN_BYTES = 1 << 20
_MAX_DOCUMENTS = 5000


@dataclass(frozen=True)
class Head:
    """The beginning of a file.

    Parameters
    ----------
    file_name
        Its name, without folder.
    data
        Its first (decompressed) bytes; empty for Parquet.
    whole
        Whether that is all of it.
    frame
        First rows of a Parquet file.
    rows
        Number of all rows of a Parquet file.
    """

    file_name: str
    data: bytes
    whole: bool
    frame: pl.DataFrame | None = None
    rows: int = 0


@dataclass(frozen=True)
class Explanation:
    """What was found: the name of a packaged format, or a TOML to confirm.

    Parameters
    ----------
    known
        Name of the packaged format, if one fits.
    guesses
        Every guess with its reason.
    toml
        Text of the proposed format; empty for a known one.
    ready
        Whether `ingest --format` takes the proposal as it stands.
    rows_read, rows_good
        Records of the head, and those that the known or proposed format reads without refusing them.
    """

    known: str | None
    guesses: list[Guess] = field(default_factory=list)
    toml: str = ""
    ready: bool = False
    rows_read: int = 0
    rows_good: int = 0


def explain(head: Head, known: bool = True) -> Explanation:
    """Look at a file's head.

    Parameters
    ----------
    head
        The beginning of the file.
    known
        Whether packaged formats are tried first.

    Raises
    ------
    RefusedFile
        The file is empty, or neither a table nor JSON.
    """
    if head.frame is None and not head.data.strip():
        raise RefusedFile("The file is empty.")
    found = recognise(head) if known else None
    return propose(head) if found is None else found


def recognise(head: Head) -> Explanation | None:
    """The packaged format that fits a file's head, `None` when none does."""
    best: tuple[int, float, str, int, int] | None = None
    data = _sample(head)
    for name in packaged_formats():
        spec = load_format(name)
        if spec.typical is not None and head.rows != spec.typical.rows:
            continue
        if spec.ocpp is not None and b"{" not in data:
            continue  # every message holds an object, so no line here can be one
        try:
            got = read_any(data, spec, head.file_name)
        except (RefusedFile, pl.exceptions.PolarsError, ValueError):
            continue
        good = got.rows_read - got.rejects.height
        # Records that are silent (documents without telemetry, answers) say nothing for a format.
        if not got.rows.height or good < 0.5 * got.rows_read:
            continue
        # The format that reads most columns says most.
        rank = (len(spec.used_columns()), good / got.rows_read, name, got.rows_read, good)
        if best is None or rank[:2] > best[:2]:
            best = rank
    if best is None:
        return None
    _, share, name, read, good = best
    spec = load_format(name)
    columns = ", ".join(spec.used_columns()[:6])
    has = f"it has its columns ({columns}, ...)" if columns else "its records are messages of a charger"
    why = f"{has}, and {good} of {read} records of the head are read"
    guesses = [Guess("format", name, CERTAIN if share > 0.9 else LIKELY, why)]
    if name in (OLD, NEW):
        name, version = _version_of(data)
        guesses = [Guess("format", name, guesses[0].confidence, why), version]
    return Explanation(name, guesses, ready=True, rows_read=read, rows_good=good)


def _version_of(data: bytes) -> tuple[str, Guess]:
    """Which version of OCPP 2 a log speaks, as far as its head tells."""
    words = words_of_21(data)
    if words:
        said = f"OCPP 2.1 alone knows {', '.join(words[:5])}"
        return NEW, Guess("version", "2.1", CERTAIN, said)
    said = f"nothing in the head is of OCPP 2.1 alone: it may be either; take {NEW} where the charger speaks it"
    return OLD, Guess("version", "2.0.1 or 2.1", UNSURE, said)


def propose(head: Head) -> Explanation:
    """A format for a file's head. Raises `RefusedFile` when it is neither a table nor JSON."""
    shape, file_type = _shape(head)
    found = draft(shape, head.file_name)
    toml = toml_of(found, shape, head.file_name, file_type)
    guesses = [*shape.guesses, *found.guesses]
    try:
        spec = parse_format(toml, "the proposal")
        got = read_any(_sample(head), spec, head.file_name)
    except FormatError as error:
        guesses.append(Guess("proposal", "not ready", UNKNOWN, f"{error} Complete the lines marked in it."))
        return Explanation(None, guesses, toml)
    except RefusedFile as error:
        guesses.append(Guess("proposal", "not ready", UNKNOWN, str(error)))
        return Explanation(None, guesses, toml)
    good = got.rows_read - got.rejects.height
    if got.rejects.height:
        reason = got.rejects["reason"].value_counts(sort=True).row(0)
        said = f"{got.rejects.height} of {got.rows_read} records of the head are refused, most for {reason[0]}"
        guesses.append(Guess("refused", str(got.rejects.height), CERTAIN, said))
    return Explanation(None, guesses, toml, ready=True, rows_read=got.rows_read, rows_good=good)


def _sample(head: Head) -> bytes:
    if head.frame is not None:
        sink = io.BytesIO()
        head.frame.write_parquet(sink)
        return sink.getvalue()
    if head.whole and len(head.data) <= _KNOWN_BYTES:
        return head.data
    data = head.data[:_KNOWN_BYTES]
    end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
    return data[:end] or data


def _shape(head: Head) -> tuple[Shape, str]:
    if head.frame is not None:
        shape = Shape(head.frame.columns, {}, guesses=[Guess("file", "Parquet", CERTAIN, "its first bytes")])
        for name in head.frame.columns:
            shape.cells[name] = _as_texts(head.frame[name])
        return shape, "parquet"
    start = head.data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] in (b"{", b"["):
        cells = flat_cells(jsondocs.records(io.BytesIO(head.data), head.data[: jsondocs.PEEK]), _MAX_DOCUMENTS)
        if cells:
            shape = Shape(list(cells), cells, json=True)
            shape.guesses.append(
                Guess("file", "JSON", CERTAIN, "it begins with a bracket; keys are named by their path")
            )
            return shape, "json"
    if b"\x00" in head.data[:4096]:
        raise RefusedFile("The file is binary: neither text nor Parquet.")
    shape = table_shape(head.data, head.whole)
    if shape is None:
        raise RefusedFile("The file is no table: no delimiter parts its lines into the same number of fields.")
    return shape, "csv"


def _as_texts(series: pl.Series) -> list[str]:
    if isinstance(series.dtype, pl.Datetime):
        zone = "Z" if series.dtype.time_zone is not None else ""
        series = series.dt.strftime("%Y-%m-%dT%H:%M:%S" + zone)
    elif series.dtype.is_float():
        series = series.fill_nan(None)
    return series.cast(pl.String, strict=False).fill_null("").to_list()
