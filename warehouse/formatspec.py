"""Log formats as data: ``formats/*.toml``, validated so that a wrong one gets a sentence naming the key.

A format says how a file is written (delimiter, decimals, encoding, time zone) and what its columns mean (units by
``scale`` and ``offset``, signs, names of states). One generic reader serves them all (`warehouse.readers.table`).
"""

from __future__ import annotations

import math
import re
import tomllib
import warnings
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator, model_validator

from warehouse.formatkeys import (
    BlankSpec,
    ElapsedSpec,
    JsonSpec,
    LinesSpec,
    MarkSpec,
    MeterSpec,
    OtherName,
    ProposalSpec,
    Strict,
    TypicalSpec,
    WideSpec,
    check_pattern,
    check_zone,
)
from warehouse.raw import RAW_SCHEMAS, SESSION_KINDS, STATES
from warehouse.readers.registry import READERS

# Columns the reader makes itself; a format never names them.
_MADE = {"line", "flags", "flag", "typical_year", "logger"}
_NEEDED: dict[str, tuple[str, ...]] = {
    "samples": ("vehicle_id",),
    "sessions": ("vehicle_id", "kind", "start_utc"),
    "home": ("load_series_id", "load_kwh"),
    "price": ("price_series_id", "price_money_per_kwh", "currency"),
    "air": (),
}
_SIGNED = ("current_a", "power_kw")
_ENCODINGS = ("utf-8", "latin-1", "cp1252", "ascii", "iso-8859-15")


class FormatError(ValueError):
    """A format is unknown or its TOML wrong; one sentence naming file and key."""


def _round_trip(pattern: str) -> bool:
    """Whether a day written by a time pattern is read back as that day (by the reader's own parser)."""
    zone = "UTC" if "%z" in pattern else None
    sample = pl.Series([datetime(2024, 2, 29, 13, 45, 7)], dtype=pl.Datetime("us", zone))
    try:
        with warnings.catch_warnings(action="ignore"):
            again = sample.dt.strftime(pattern).str.to_datetime(pattern, strict=False, time_zone=zone, time_unit="us")
    except pl.exceptions.PolarsError:
        return False
    return bool((again.dt.date() == sample.dt.date()).fill_null(value=False)[0])


class FileSpec(Strict):
    """How the file is written. Compression (gz, zst) is seen from its first bytes."""

    type: Literal["csv", "parquet", "auto"] = "csv"  # auto: as the first bytes say
    delimiter: str = ","
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("", "NA", "NaN", "nan", "null", "None")
    header: tuple[str, ...] | None = None  # names of the columns where the file has no header line

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str) -> str:
        if value != "\t" and (len(value) != 1 or not value.isascii() or not value.isprintable() or value == '"'):
            raise ValueError(f"expected one printable ASCII character (no quote) or a tab, got {value!r}")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        if value.lower() not in _ENCODINGS:
            raise ValueError(f"expected one of {', '.join(_ENCODINGS)}, got '{value}'")
        return value.lower()


class SpanSpec(Strict):
    """Clock times before ``until`` (as written in the file) are in another zone."""

    until: datetime
    zone: str
    flag: str = "clock_other_zone"

    _zone = field_validator("zone")(check_zone)


class TimeSpec(Strict):
    """How times are written: ``iso`` (offset or Z wins over the zone) or a strftime pattern, and the local zone.

    Format ``epoch``: seconds since 1970 UTC, times ``epoch_unit_seconds``. Key ``epoch`` names a further column of
    such seconds, which wins where it is a time; a row where it is filled and none has its clock's time and a flag.
    """

    format: str = "iso"
    zone: str = "UTC"
    epoch: str | None = None
    epoch_unit_seconds: float = Field(default=1.0, gt=0)
    spans: tuple[SpanSpec, ...] = ()

    _zone = field_validator("zone")(check_zone)

    @field_validator("format")
    @classmethod
    def _reads_what_it_writes(cls, value: str) -> str:
        if value not in ("iso", "epoch") and not _round_trip(value):
            raise ValueError(f"expected 'iso' or a pattern of date and time such as '%d.%m.%Y %H:%M', got {value!r}")
        return value


class SessionSpec(Strict):
    """How sessions are given: a column with their length [h] resolves local hours that exist twice."""

    duration: str | None = None
    tolerance_hours: float = Field(default=0.05, gt=0)
    max_days: float = Field(default=366.0, gt=0)


class ColumnSpec(Strict):
    """Where a canonical column comes from: ``from`` (a column) or ``value`` (the same for all rows).

    ``value * scale + offset`` is in the unit of the canonical column; rows outside ``min``..``max`` (in that unit) are
    refused. ``subtract`` names columns taken off, ``clip_from`` the least value that is still taken as zero.

    ``or_from``: other names of the column. ``optional``: no column, no value. ``file_name``: without the column, the
    value is the group of this pattern in the file's name. ``plus``, ``times``: columns added and multiplied;
    ``mean_with``: columns of which the mean is taken, empty ones apart. ``join``: columns whose text follows after a
    blank (a clock after a day). ``unknown``: contents that mean "not known";
    ``unknown_below``, ``unknown_above``: beyond these (in the canonical unit) a value is a known defect of the logger,
    emptied and flagged, and the rest of the row stays.
    """

    from_: str | None = Field(default=None, alias="from")
    value: str | float | bool | None = None
    scale: float = 1.0
    offset: float = 0.0
    sign: Literal["charging_positive", "charging_negative"] | None = None
    required: bool = False
    min: float | None = None
    max: float | None = None
    subtract: tuple[str, ...] = ()
    clip_from: float | None = Field(default=None, le=0)
    map: dict[str, str] = Field(default_factory=dict)
    or_from: tuple[str | OtherName, ...] = ()
    optional: bool = False
    file_name: str | None = None
    plus: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    mean_with: tuple[str, ...] = ()
    join: tuple[str, ...] = ()
    unknown: tuple[str | float, ...] = ()
    unknown_below: float | None = None
    unknown_above: float | None = None

    _pattern = field_validator("file_name")(check_pattern)

    @field_validator("scale", "offset", "min", "max", "clip_from", "value", "unknown_below", "unknown_above")
    @classmethod
    def _finite(cls, value: str | float | bool | None, info: ValidationInfo) -> str | float | bool | None:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"expected a finite number, got {value}")
        if info.field_name == "scale" and value == 0:
            raise ValueError("expected a number other than 0, got 0")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> ColumnSpec:
        if (self.from_ is None and self.file_name is None) == (self.value is None):
            raise ValueError("expected either 'from' (a column of the file) or 'value' (the same for all rows)")
        return self


class OcppSpec(Strict):
    """How a log of OCPP messages names its stations and cars (``reader = "ocpp"``).

    The station comes from the logger's object around a message (``station_key``, else the usual names), else it is
    ``station``, else the first group of ``station_in_name`` in the file's name. ``owner`` says what the vehicle is: the
    station (a home charger: one car) or the id token of the transaction (which is hashed as any vehicle). ``outlet`` =
    "dc" says that voltage and current at the outlet are those of the battery.
    """

    version: Literal["1.6", "2.0.1", "2.1"]
    owner: Literal["station", "token"] = "station"
    outlet: Literal["ac", "dc"] = "ac"
    station: str | None = None
    station_key: str | None = None
    message_key: str | None = None
    station_in_name: str = r"^([^_.]+)"

    @field_validator("station_in_name")
    @classmethod
    def _one_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error:
            groups = 0
        if groups < 1:
            raise ValueError(f"expected a regular expression with one group, got {value!r}")
        return value


class FormatSpec(Strict):
    """One log format."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    kind: Literal["samples", "sessions", "home", "price", "air"]
    source: str = ""
    notes: str = ""
    reader: str = "table"
    logger: Literal["car", "charger"] = "car"
    flags: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()
    file: FileSpec = FileSpec()
    time: TimeSpec = TimeSpec()
    json_: JsonSpec = Field(default=JsonSpec(), alias="json")
    lines: LinesSpec = LinesSpec()
    blank: tuple[BlankSpec, ...] = ()
    marks: tuple[MarkSpec, ...] = ()
    meter: MeterSpec | None = None
    elapsed: ElapsedSpec | None = None
    typical: TypicalSpec | None = None
    wide: WideSpec | None = None
    sessions: SessionSpec = SessionSpec()
    columns: dict[str, ColumnSpec] = Field(default_factory=dict)
    ocpp: OcppSpec | None = None
    proposal: ProposalSpec = ProposalSpec()

    @field_validator("reader")
    @classmethod
    def _known_reader(cls, value: str) -> str:
        if value not in READERS:
            raise ValueError(f"expected one of {', '.join(sorted(READERS))}, got '{value}'")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> FormatSpec:
        if (self.reader == "ocpp") != (self.ocpp is not None):
            raise ValueError("key 'ocpp': expected with reader = 'ocpp', and with no other")
        if self.reader == "ocpp":
            return self  # a reader of its own knows where its columns come from
        known = [c for c in RAW_SCHEMAS[self.kind] if c not in _MADE]
        for name, column in self.columns.items():
            if name not in known:
                raise ValueError(f"key 'columns.{name}': expected one of {', '.join(known)}")
            if name in _SIGNED and column.sign is None:
                raise ValueError(
                    f"key 'columns.{name}.sign' is missing: expected 'charging_positive' or 'charging_negative'"
                )
            if name not in _SIGNED and column.sign is not None:
                raise ValueError(f"key 'columns.{name}.sign': only {' and '.join(_SIGNED)} have a sign")
            self._check_map(name, column)
        needed = [n for n in _NEEDED[self.kind] if n not in self.columns]
        timed = self.elapsed or self.typical or "time_utc" in self.columns or self.kind == "sessions"
        if not timed:
            needed.append("time_utc")
        if self.kind == "air" and self.wide is None:
            needed += [n for n in ("air_series_id", "air_temp_c") if n not in self.columns]
        if needed:
            raise ValueError(f"key 'columns.{needed[0]}' is missing: kind '{self.kind}' needs it")
        if self.wide is not None and self.kind != "air":
            raise ValueError("key 'wide': only formats of kind 'air' may have one column a series")
        if self.typical is not None and self.kind != "air":
            raise ValueError("key 'typical': only formats of kind 'air' may be a typical year")
        return self

    def _check_map(self, name: str, column: ColumnSpec) -> None:
        allowed = {"state": STATES, "kind": SESSION_KINDS, "shared": ("true", "false")}.get(name)
        if allowed is None:
            return
        for text in [*column.map.values(), *([str(column.value)] if column.value is not None else [])]:
            if text.lower() not in allowed:
                raise ValueError(f"key 'columns.{name}': expected one of {', '.join(allowed)}, got '{text}'")

    def used_columns(self) -> tuple[str, ...]:
        """Columns of the file that the format reads, in a fixed order."""
        names: list[str] = []
        for column in self.columns.values():
            if column.from_ is not None:
                names.append(column.from_)
            names += [*column.subtract, *column.plus, *column.times, *column.mean_with, *column.join]
        if self.elapsed is not None:
            names += [self.elapsed.column] + ([self.elapsed.group] if self.elapsed.group is not None else [])
        if self.sessions.duration is not None:
            names.append(self.sessions.duration)
        return tuple(dict.fromkeys(names))


def packaged_formats() -> tuple[str, ...]:
    """Names of the formats that come with Fadecast, sorted."""
    return tuple(sorted(f.name[:-5] for f in (files("warehouse") / "formats").iterdir() if f.name.endswith(".toml")))


def load_format(name_or_path: str | Path) -> FormatSpec:
    """A packaged format by name, or one of the user's by the path of its TOML file.

    Raises
    ------
    FormatError
        No such format or file, not TOML, or a wrong key; the sentence names file and key.
    """
    text = str(name_or_path)
    if text in packaged_formats():
        return _packaged((files("warehouse") / "formats" / f"{text}.toml").read_text(encoding="utf-8"), text)
    path = Path(text)
    if path.suffix != ".toml":
        raise FormatError(
            f"There is no format '{text}'; give one of {', '.join(packaged_formats())}, or the path of a .toml file."
        )
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read ({error.strerror})"
        raise FormatError(f"The format file {path} {said}.") from None
    return parse_format(content, str(path))


@lru_cache(maxsize=64)
def _packaged(content: str, name: str) -> FormatSpec:
    """By content: `--explain` asks for every packaged format at every file."""
    return parse_format(content, f"formats/{name}.toml")


def parse_format(text: str, where: str) -> FormatSpec:
    """A format from TOML text; ``where`` names it in errors. Raises `FormatError`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"{where} is not valid TOML: {error}.") from None
    try:
        return FormatSpec.model_validate(data)
    except ValidationError as error:
        raise FormatError(f"{where}: {_sentence(error, data)}.") from None


def _sentence(error: ValidationError, data: dict[str, Any]) -> str:
    """First error of a validation in words: key, what was expected, what was found."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    kind, message = first["type"], first["msg"]
    if kind == "value_error":
        said = message.removeprefix("Value error, ")
        return said if said.startswith("key '") or not key else f"key '{key}': {said}"
    if kind == "missing":
        return f"key '{key}' is missing"
    if kind == "extra_forbidden":
        return f"key '{key}' is not known; known there: {', '.join(_known_keys(first['loc']))}"
    return f"key '{key}': {message[0].lower()}{message[1:]}, got {first.get('input')!r}"


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = FormatSpec
    parts = {
        "file": FileSpec,
        "time": TimeSpec,
        "elapsed": ElapsedSpec,
        "json": JsonSpec,
        "lines": LinesSpec,
        "blank": BlankSpec,
        "marks": MarkSpec,
        "meter": MeterSpec,
        "typical": TypicalSpec,
        "wide": WideSpec,
        "sessions": SessionSpec,
        "columns": ColumnSpec,
        "ocpp": OcppSpec,
        "proposal": ProposalSpec,
    }
    if len(loc) > 1 and loc[0] in parts:
        model = SpanSpec if loc[1] == "spans" and len(loc) > 2 else parts[str(loc[0])]
    return [field.alias or name for name, field in model.model_fields.items()]
