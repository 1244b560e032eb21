"""What is done to rows before anything is written: vehicles become ids, names and VINs leave refused text.

A vehicle that was to be forgotten is known by a keyed hash of its id alone: its records are dropped here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from warehouse.coded import pairs_of
from warehouse.keys import MASK, hash_ids, mask_vins, tombstone

if TYPE_CHECKING:
    from warehouse.store import Warehouse

FORGOTTEN = "the record is of a vehicle that was to be forgotten"
_MIN_ID = 3
# The last eight characters of a VIN are year, plant and serial number, the last six the serial number.
_VIN_ENDS = (8, 7, 6)
_MAYBE_VIN = "[A-HJ-NPR-Za-hj-npr-z0-9]{17}"


class Door:
    """The door of one file: names of vehicles seen so far and their ids."""

    def __init__(self, wh: Warehouse) -> None:
        self._home = wh.home
        self._tombstones = {row[0] for row in wh.rows("SELECT tombstone FROM meta_forgotten")}
        self._ids: dict[str, str] = {}
        self._gone: dict[str, bool] = {}

    @property
    def secrets(self) -> list[str]:
        """Names that no text may repeat, long ones first; of VINs also their ends (Leaf Spy names files by them)."""
        names = {text for text in self._ids if len(text) >= _MIN_ID}
        names |= {text[-n:] for text in self._ids if mask_vins(text) == MASK for n in _VIN_ENDS}
        return sorted(names, key=lambda text: (-len(text), text))

    def learn(self, names: pl.Series) -> None:
        """Ids of the names of vehicles in a column."""
        new = sorted(set(names.unique().drop_nulls().to_list()) - self._ids.keys())
        if new:
            self._ids |= hash_ids(self._home, new)

    def forgotten(self, names: pl.Series) -> pl.Series | None:
        """Mask of the names of forgotten vehicles, `None` without any."""
        if not self._tombstones:
            return None
        self.learn(names.unique().cast(pl.String))
        for name in self._ids.keys() - self._gone.keys():
            self._gone[name] = tombstone(self._home, self._ids[name]) in self._tombstones
        gone = [name for name, lost in self._gone.items() if lost]
        return names.cast(pl.String).is_in(gone).fill_null(value=False)

    def ids(self, names: pl.Series) -> pl.Series:
        """Ids in place of names; null stays null, and numbered names become numbered ids."""
        if isinstance(names.dtype, pl.Enum):
            known = names.dtype.categories
            self.learn(known)
            ids = [self._ids[name] for name in known.to_list()]
            return pl.Series(ids, dtype=pl.Enum(sorted(set(ids)))).gather(names.to_physical())
        runs = names.rle()
        known, lengths = runs.struct.field("value"), runs.struct.field("len")
        self.learn(known)
        ids = known.replace_strict(self._ids, default=None, return_dtype=pl.String)
        return ids.gather(np.repeat(np.arange(known.len()), lengths.to_numpy()))

    def hide_rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Vehicles by their ids, also inside the log's own names of sessions; numbered texts stay numbered."""
        if rows.height == 0:
            return rows
        both = ["vehicle_id", "session_ref"]
        types = {name: rows.schema[name] for name in both}
        pairs = pairs_of(rows.select(both))
        self.learn(pairs["vehicle_id"].cast(pl.String))
        changed: list[tuple[str, str, str]] = []
        for vehicle, ref in pairs.drop_nulls().iter_rows():
            new = mask_vins(ref.replace(vehicle, self._ids[vehicle]) if len(vehicle) >= _MIN_ID else ref)
            if new != ref:
                changed.append((vehicle, ref, new))
        if changed:
            table = pl.DataFrame(changed, schema={**types, "_new": pl.String}, orient="row")
            rows = rows.join(table, on=both, how="left", maintain_order="left")
            text = rows.select(pl.coalesce("_new", pl.col("session_ref").cast(pl.String))).to_series()
            if isinstance(types["session_ref"], pl.Enum):
                text = text.cast(pl.Enum(text.drop_nulls().unique().sort()))
            rows = rows.with_columns(text.alias("session_ref")).drop("_new")
        return rows.with_columns(self.ids(rows["vehicle_id"]).alias("vehicle_id"))

    def hide_texts(self, texts: pl.Series) -> pl.Series:
        """Texts without the names of this file's vehicles and without anything like a VIN."""
        if texts.len() == 0:
            return texts
        if self.secrets:
            texts = texts.str.replace_many(self.secrets, [MASK], leftmost=True)
        maybe = texts.str.contains(_MAYBE_VIN).fill_null(value=False)
        if maybe.any():
            rows = maybe.arg_true()
            masked = pl.Series([mask_vins(text) for text in texts.gather(rows)], dtype=pl.String)
            texts = texts.scatter(rows, masked)
        return texts

    def hide(self, text: str) -> str:
        """One text, as `hide_texts`."""
        return self.hide_texts(pl.Series([text], dtype=pl.String))[0]


def hide(text: str | None, secrets: list[str]) -> str | None:
    """Text without the given names of vehicles and without anything like a VIN."""
    if text is None:
        return None
    for secret in secrets:
        text = text.replace(secret, MASK)
    return mask_vins(text)
