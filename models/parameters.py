"""Parameters are data: value, unit, source and standing, read from ``parameters/*.toml``.

Packaged defaults first, then the files of the same name under ``<home>/parameters`` (where ``evidence fit`` and
``policies --add`` write). The only module of `models` that reads files.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from models.domain import STANDINGS

_REQUIRED = ("value", "unit", "source", "standing")


class ParameterError(ValueError):
    """A parameter file is wrong; the message names file, entry and key, and what was expected."""


@dataclass(frozen=True)
class Parameter:
    """One value with its unit, source, standing (``seen``, ``secondary``, ``assumed``) and optional range."""

    name: str
    value: Any
    unit: str
    source: str
    standing: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Entry:
    """One named group of parameters, e.g. a cell, a law, a policy."""

    entry_id: str
    label: str
    parameters: dict[str, Parameter]
    file: str

    def __getitem__(self, name: str) -> Parameter:
        try:
            return self.parameters[name]
        except KeyError:
            known = ", ".join(sorted(self.parameters))
            raise ParameterError(
                f"{self.file}: [{self.entry_id}] has no parameter '{name}'; it has: {known}."
            ) from None

    def get(self, name: str, default: Any = None) -> Any:
        """Value of a parameter, or the default where the entry lacks it."""
        p = self.parameters.get(name)
        return default if p is None else p.value

    def number(self, name: str) -> float:
        """Value as a finite float."""
        value = self[name].value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ParameterError(f"{self.file}: [{self.entry_id}.{name}] must be a number, got {value!r}.")
        if not math.isfinite(value):
            raise ParameterError(f"{self.file}: [{self.entry_id}.{name}] must be a finite number, got {value!r}.")
        return float(value)

    def text(self, name: str) -> str:
        """Value as a string."""
        value = self[name].value
        if not isinstance(value, str):
            raise ParameterError(f"{self.file}: [{self.entry_id}.{name}] must be a text, got {value!r}.")
        return value

    @property
    def assumed(self) -> tuple[str, ...]:
        """Names of the parameters that are only assumed."""
        return tuple(sorted(n for n, p in self.parameters.items() if p.standing == "assumed"))

    @property
    def sha256(self) -> str:
        """Hash of names, values and units: a version of what the numbers depend on."""
        body = {n: [p.value, p.unit] for n, p in self.parameters.items()}
        return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _parse(text: str, file: str) -> dict[str, Entry]:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ParameterError(f"{file}: not valid TOML: {e}. Mend the line it names.") from None
    out: dict[str, Entry] = {}
    for entry_id, body in raw.items():
        if not isinstance(body, dict):
            raise ParameterError(f"{file}: '{entry_id}' must be a table such as [{entry_id}.name], got {body!r}.")
        label = str(body.get("label", entry_id))
        parameters: dict[str, Parameter] = {}
        for name, spec in body.items():
            if name == "label":
                continue
            if not isinstance(spec, dict) or any(k not in spec for k in _REQUIRED):
                raise ParameterError(f"{file}: [{entry_id}.{name}] needs the keys {', '.join(_REQUIRED)}.")
            unknown = set(spec) - {*_REQUIRED, "low", "high"}
            if unknown:
                raise ParameterError(f"{file}: [{entry_id}.{name}] has unknown keys {sorted(unknown)}.")
            if spec["standing"] not in STANDINGS:
                raise ParameterError(
                    f"{file}: [{entry_id}.{name}] standing must be one of {', '.join(STANDINGS)}, "
                    f"got {spec['standing']!r}."
                )
            parameters[name] = Parameter(name=name, **spec)
        out[entry_id] = Entry(entry_id, label, parameters, file)
    return out


@lru_cache(maxsize=256)
def _cached(text: str, file: str) -> dict[str, Entry]:
    return _parse(text, file)


@lru_cache(maxsize=64)
def _packaged(kind: str) -> dict[str, Entry]:
    packaged = files("models").joinpath("parameters", f"{kind}.toml")
    if not packaged.is_file():
        return {}
    return _parse(packaged.read_text(encoding="utf-8"), f"models/parameters/{kind}.toml")


def load(kind: str, home: Path | None = None) -> dict[str, Entry]:
    """Read one kind of parameters (``cells``, ``laws``, ``contracts``, ``vehicles``, ``chargers``, ``tariffs``, ...).

    Entries of ``<home>/parameters/<kind>.toml`` replace packaged ones of the same name as a whole.

    Raises
    ------
    ParameterError
        A file is not UTF-8 or TOML, lacks a key or states an unknown standing.
    """
    out = dict(_packaged(kind))
    if home is not None:
        own = home / "parameters" / f"{kind}.toml"
        if own.is_file():
            try:
                text = own.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                raise ParameterError(f"{own}: is no text in UTF-8; mend or delete that file.") from None
            out |= _cached(text, str(own))
    if not out:
        raise ParameterError(
            f"models/parameters/{kind}.toml: no entries found; expected at least one table [name.parameter]."
        )
    return out


def entry(kind: str, entry_id: str, home: Path | None = None) -> Entry:
    """One entry of a kind.

    Raises
    ------
    ParameterError
        There is no such entry; the message lists those there are.
    """
    entries = load(kind, home)
    if entry_id not in entries:
        raise ParameterError(f"No {kind} entry named '{entry_id}'; there are: {', '.join(sorted(entries))}.")
    return entries[entry_id]
