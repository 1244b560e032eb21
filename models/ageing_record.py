"""How wrong each law of ageing tests has been on tests it had not seen: kept as data, for pages and model cards.

``parameters/evidence_record.toml`` holds the table (a line for each way of leaving tests out and each group of them),
``parameters/evidence_heldout.toml`` the errors of every test when its condition was left out. Both are written by
``benchmarks/evidence_cv.py --write`` and, for laws fitted by a user, by ``fadecast evidence fit`` under the home. No
measured capacity is stored: a series holds predicted minus measured loss and the half-width of the 80 % interval.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from models.ageing_crossval import RecordLine
from models.ageing_fit import LeftOut
from models.ageing_intervals import Width
from models.domain import FloatArray
from models.parameters import Entry, ParameterError

RECORD_KIND, HELD_OUT_KIND = "evidence_record", "evidence_heldout"
_COLUMNS = tuple(f.name for f in fields(RecordLine) if f.name != "law")


@dataclass(frozen=True, eq=False)
class HeldOutSeries:
    """One test as predicted by a law fitted without its condition.

    Parameters
    ----------
    law
        Id of the law's entry in ``parameters/evidence.toml``.
    test_id, condition
        The test, and what was left out with it.
    axis
        ``day`` (storage) or ``efc`` (cycling), counted from the first check-up.
    x
        Days [d] or equivalent full cycles [1], shape (n,), rising.
    error_pp
        Predicted minus measured loss, shape (n,). [pp]
    half_width_pp
        Half of the 80 % interval, shape (n,). [pp]
    """

    law: str
    test_id: str
    condition: str
    axis: str
    x: FloatArray
    error_pp: FloatArray
    half_width_pp: FloatArray

    @property
    def rmse_pp(self) -> float:
        """Root-mean-square error. [pp]"""
        return float(np.sqrt(np.mean(self.error_pp**2)))

    @property
    def inside_80_frac(self) -> float:
        """Share of check-ups inside the 80 % interval. [1]"""
        return float(np.mean(np.abs(self.error_pp) <= self.half_width_pp))


def record_lines(entries: Mapping[str, Entry]) -> tuple[RecordLine, ...]:
    """The table of ``load("evidence_record", home)``, by law, scheme and group in the order written.

    Raises
    ------
    ParameterError
        A line does not have the columns of :class:`RecordLine`.
    """
    out = []
    for law, entry in sorted(entries.items()):
        if tuple(entry["columns"].value) != _COLUMNS:
            raise ParameterError(f"{entry.file}: [{law}.columns] must be {', '.join(_COLUMNS)}; run the fit again.")
        for row in entry["lines"].value:
            if len(row) != len(_COLUMNS):
                raise ParameterError(f"{entry.file}: [{law}.lines] has a line of {len(row)} values, not as columns.")
            out.append(RecordLine(law, str(row[0]), str(row[1]), int(row[2]), *(float(v) for v in row[3:])))
    return tuple(out)


def held_out_series(entries: Mapping[str, Entry]) -> tuple[HeldOutSeries, ...]:
    """The series of ``load("evidence_heldout", home)``, by law and test id.

    Raises
    ------
    ParameterError
        A series has columns of unequal length.
    """
    out = []
    for law, entry in sorted(entries.items()):
        axis = entry.text("axis")
        for name in sorted(k for k in entry.parameters if k.startswith("test_")):
            test_id, condition, *columns = entry[name].value
            arrays = [np.array(c, dtype=np.float64) for c in columns]
            if len(arrays) != 3 or len({a.size for a in arrays}) != 1:
                raise ParameterError(f"{entry.file}: [{law}.{name}] needs three columns of equal length; fit again.")
            out.append(HeldOutSeries(law, str(test_id), str(condition), axis, *arrays))
    return tuple(out)


def series_of(law: str, found: LeftOut, condition: np.ndarray, width: Width) -> list[HeldOutSeries]:
    """The series of every test left out; `condition` of the rows, shape (n,)."""
    rows = found.rows
    stored = bool((rows.kind == "calendar").all())
    half = width.half_frac(found.sd_frac, found.doubt_frac)
    out = []
    for name in np.unique(rows.test_id.astype(str)):
        at = np.flatnonzero(rows.test_id == name)
        x = (rows.day if stored else rows.cycles)[at]
        at = at[np.argsort(x, kind="stable")]
        out.append(
            HeldOutSeries(
                law=law,
                test_id=name,
                condition=str(condition[at[0]]),
                axis="day" if stored else "efc",
                x=np.sort(x, kind="stable"),
                error_pp=100 * found.error_frac[at],
                half_width_pp=100 * half[at],
            )
        )
    return out


def _value(name: str, value: object, unit: str, source: str) -> str:
    return (
        f"{name} = {{ value = {json.dumps(value, ensure_ascii=False)}, unit = {json.dumps(unit)}, "
        f'source = {json.dumps(source, ensure_ascii=False)}, standing = "seen" }}'
    )


def record_toml(law: str, lines: Sequence[RecordLine], source: str) -> str:
    """One entry of ``evidence_record.toml``."""
    table = [[v if isinstance(v, (str, int)) else round(v, 4) for v in astuple(line)[1:]] for line in lines]
    return "\n".join(
        [
            f"[{law}]",
            f'label = "How wrong {law} was on tests it had not seen"',
            _value("columns", list(_COLUMNS), "1", source),
            _value("lines", table, "as columns", source),
            "",
        ]
    )


def held_out_toml(law: str, series: Sequence[HeldOutSeries], source: str) -> str:
    """One entry of ``evidence_heldout.toml``: for every test its id, condition and three columns."""
    out = [f"[{law}]", f'label = "Errors of {law} on tests it had not seen"']
    out.append(_value("axis", series[0].axis if series else "day", "1", source))
    for i, s in enumerate(series):
        columns = [
            [round(float(v), digits) for v in column]
            for column, digits in ((s.x, 1), (s.error_pp, 3), (s.half_width_pp, 3))
        ]
        out.append(_value(f"test_{i:04d}", [s.test_id, s.condition, *columns], "d or 1, pp, pp", "as axis"))
    return "\n".join([*out, ""])
