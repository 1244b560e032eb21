"""Parts of a format (`warehouse.formatspec`): rules for logs whose cells need work before they are read by column.

A format that uses such a rule (`warehouse.formatheader.needs_preparing`) is read in batches by
`warehouse.readers.prepared`; all others keep the fast way.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Strict(BaseModel):
    """Base of all parts of a format: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def check_zone(zone: str) -> str:
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"expected an IANA time zone such as 'Europe/Oslo', got '{zone}'") from None
    return zone


def check_pattern(pattern: str | None) -> str | None:
    """A regular expression with exactly one group, or a sentence why not."""
    if pattern is None:
        return None
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"expected a regular expression, got {pattern!r} ({error})") from None
    if groups != 1:
        raise ValueError(f"expected a regular expression with one group '( )', got {pattern!r}")
    return pattern


class OtherName(Strict):
    """The same quantity under another name and unit (another release, language or setting of the logger)."""

    from_: str = Field(alias="from")
    scale: float | None = None
    offset: float | None = None


class BlankSpec(Strict):
    """Cells of a row to empty where two columns hold the same magnitude: a logger's garbage, never a reading."""

    equal_abs: tuple[str, str]
    also: tuple[str, ...] = ()
    flag: str = Field(default="equal_volts_amps", pattern=r"^[a-z][a-z0-9_]*$")


class MarkSpec(Strict):
    """Flag the rows in which a column holds a text that the pattern finds."""

    column: str
    contains: str = "."
    flag: str = Field(pattern=r"^[a-z][a-z0-9_]*$")

    @field_validator("contains")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"expected a regular expression, got {value!r} ({error})") from None
        return value


class MeterSpec(Strict):
    """Columns that are meters, counting up for ever: each reading becomes its difference to the reading before.

    The row before has to lie one step before, else there is no difference (a gap: never spread over the hours). A
    meter that falls by more than ``noise`` (unit of the column) was reset or changed: that row is refused.
    """

    columns: tuple[str, ...] = Field(min_length=1)
    step_hours: float = Field(default=1.0, gt=0)
    noise: float = Field(default=0.0, ge=0)


class LinesSpec(Strict):
    """Lines of a text file that are no records, and lines of other lengths than the header.

    Parameters
    ----------
    before, after
        Lines before the header line, and between it and the first record (a line of units).
    header_again
        A line that starts with this text is a header again: the logger was started anew on the same file. From there
        on it names the columns.
    widths
        Numbers of fields that are right beside that of the header: an update of the logger added columns at the end.
    """

    before: int = Field(default=0, ge=0, le=1000)
    after: int = Field(default=0, ge=0, le=1000)
    header_again: str | None = Field(default=None, min_length=1)
    widths: tuple[int, ...] = ()


class BaseFromName(Strict):
    """Start of a log that counts seconds, read from the file's name: pattern with one group, and how it is written."""

    pattern: str
    format: str = "%Y-%m-%d"

    _pattern = field_validator("pattern")(check_pattern)

    @model_validator(mode="after")
    def _dated(self) -> BaseFromName:
        if "%Y" not in self.format or "%d" not in self.format:
            raise ValueError(f"key 'format': expected a pattern of year, month and day, got {self.format!r}")
        return self


class JsonSpec(Strict):
    """Documents of ``reader = "json"``; columns are named by their path, ``data.soc``.

    Parameters
    ----------
    carry
        Keys whose value stays for the documents that follow without it (the device, told once).
    under
        Keys whose object stands for the document (a dump that wraps the telemetry).
    reading
        Key of the object with the readings: a document without it carries none and counts as understood.
    """

    carry: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    reading: str | None = None


class ElapsedSpec(Strict):
    """Times as seconds since the start of a group (trip): group n starts at base + n * group_days, by assumption.

    Without ``group`` the file is one. ``base_from_name`` reads the base from the file's name, ``flag`` marks the rows;
    where the format has a ``time_utc`` as well and the file its column, that is taken instead.
    """

    column: str
    or_column: tuple[str, ...] = ()
    group: str | None = None
    base: datetime | None = None
    base_from_name: BaseFromName | None = None
    flag: str | None = None
    group_days: int = Field(default=1, ge=1)
    unit_seconds: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _based(self) -> ElapsedSpec:
        if self.base is None and self.base_from_name is None:
            raise ValueError("key 'elapsed.base' is missing: expected the time at which the seconds start")
        return self


class TypicalSpec(Strict):
    """A typical year without dates: row n is hour n of 2001, in the station's local standard time."""

    start: date = date(2001, 1, 1)
    rows: int = Field(default=8760, ge=1)


class WideSpec(Strict):
    """One column a series: its name becomes the series id."""

    owner: Literal["air_series_id"] = "air_series_id"
    value: Literal["air_temp_c"] = "air_temp_c"
    ignore: tuple[str, ...] = ()


class ProposalSpec(Strict):
    """What ``fleet --propose`` writes for vehicles of this format; every value is an assumption."""

    vehicle_type: str = "assumed_bev_60"
    market: str = "DE"
    time_zone: str = "Europe/Berlin"
    contract_id: str = "common_oem_70"
    tariff_id: str = "de_fixed"
    charger_id: str = "v2h_7kw"
    load_series_id: str = "konstanz"
    price_series_id: str = "nl_day_ahead"
    outage_region: str = "de"
    annual_load_kwh: float = Field(default=3500.0, gt=0)
    pv_kwp: float = Field(default=0.0, ge=0)
    bms_version: str = "unknown"
    mean_air_temp_c: float = 10.0
    climate: str = "central Europe"

    _zone = field_validator("time_zone")(check_zone)
