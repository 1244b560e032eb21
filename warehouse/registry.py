"""The registry of tables and columns (``columns.toml``): types, units, meanings, digits; the data dictionary."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

# DuckDB's name of a type and the Polars type that holds it.
POLARS_TYPES: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "DOUBLE": pl.Float64(),
    "BIGINT": pl.Int64(),
    "INTEGER": pl.Int32(),
    "UTINYINT": pl.UInt8(),
    "BOOLEAN": pl.Boolean(),
    "DATE": pl.Date(),
    "TIMESTAMP": pl.Datetime("us"),
    "VARCHAR[]": pl.List(pl.String()),
    "DOUBLE[]": pl.List(pl.Float64()),
}

# What readers see under another name than its DuckDB one.
PREFIXES_FROM_REGISTRY = ("core_", "out_")


class RegistryError(ValueError):
    """``columns.toml`` contradicts itself; the message names table, column and what was expected."""


@dataclass(frozen=True)
class Column:
    """One column: name, DuckDB type, unit, meaning, digits shown (``None``: shown as it is)."""

    name: str
    type: str
    unit: str
    meaning: str
    digits: int | None

    @property
    def polars(self) -> pl.DataType:
        """The Polars type that holds it."""
        return POLARS_TYPES[self.type]


@dataclass(frozen=True)
class Registry:
    """All tables and columns of the warehouse."""

    tables: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, Column]

    @classmethod
    def load(cls) -> Registry:
        """Registry of the package, read once.

        Raises
        ------
        RegistryError
            A table lists a column that has no entry, twice the same, or a type nobody knows.

        Examples
        --------
        >>> Registry.load().column("soh_frac").unit
        '1'
        """
        return _load()

    def table(self, table: str) -> tuple[Column, ...]:
        """Columns of a table in order; raises `RegistryError` for a name that is not registered."""
        try:
            names = self.tables[table]
        except KeyError:
            raise RegistryError(f"There is no table '{table}'; there are: {', '.join(sorted(self.tables))}.") from None
        return tuple(self.columns[n] for n in names)

    def column(self, name: str) -> Column:
        """One column; raises `RegistryError` for a name that is not registered."""
        try:
            return self.columns[name]
        except KeyError:
            raise RegistryError(f"There is no column '{name}' in columns.toml.") from None

    def digits(self, name: str) -> int | None:
        """Digits shown of a column, `None` where it is shown as it is."""
        return self.column(name).digits

    def schema(self, table: str) -> dict[str, pl.DataType]:
        """Polars types of a table's columns, in order."""
        return {c.name: c.polars for c in self.table(table)}

    def ddl(self, table: str) -> str:
        """``CREATE TABLE`` of a table: plain, without keys, sequences or indexes (DuckLake can serve it later)."""
        lines = ",\n  ".join(f"{c.name} {c.type}" for c in self.table(table))
        return f"CREATE TABLE IF NOT EXISTS {table} (\n  {lines}\n)"

    def made_tables(self) -> tuple[str, ...]:
        """Tables made from the registry (``core_``, ``out_``); the others belong to the migrations."""
        return tuple(t for t in self.tables if t.startswith(PREFIXES_FROM_REGISTRY))

    def dictionary(self) -> pl.DataFrame:
        """The data dictionary: a row per column of a table."""
        rows = [
            {
                "table": table,
                "column": c.name,
                "type": c.type,
                "unit": c.unit,
                "meaning": c.meaning,
                "digits": c.digits,
            }
            for table in self.tables
            for c in self.table(table)
        ]
        return pl.DataFrame(rows, schema_overrides={"digits": pl.Int64})


@lru_cache(maxsize=1)
def _load() -> Registry:
    data = tomllib.loads((files("warehouse") / "columns.toml").read_text(encoding="utf-8"))
    columns: dict[str, Column] = {}
    for name, entry in data["columns"].items():
        if entry["type"] not in POLARS_TYPES:
            raise RegistryError(
                f"columns.toml: [columns.{name}] type '{entry['type']}' is none of: {', '.join(POLARS_TYPES)}."
            )
        columns[name] = Column(name, entry["type"], entry["unit"], entry["meaning"], entry.get("digits"))
    tables: dict[str, tuple[str, ...]] = {}
    for table, names in data["tables"].items():
        missing = [n for n in names if n not in columns]
        if missing:
            raise RegistryError(f"columns.toml: table {table} lists {', '.join(missing)}, which [columns] lacks.")
        if len(set(names)) != len(names):
            raise RegistryError(f"columns.toml: table {table} lists a column twice.")
        tables[table] = tuple(names)
    return Registry(MappingProxyType(tables), MappingProxyType(columns))
