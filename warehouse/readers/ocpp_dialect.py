"""OCPP 2.1 told from 2.0.1: words that the newer version's schemas know and the older one's do not."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import ocpp

from warehouse.readers.ocpp_schema import ACTIONS

OLD, NEW = "ocpp_201", "ocpp_21"
_FOLDERS = {OLD: "v201", NEW: "v21"}
_SUFFIX = "Request.json"


def words_of_21(data: bytes) -> list[str]:
    """Words in a log that OCPP 2.1 alone knows, sorted: keys, values of its lists, names of messages.

    Examples
    --------
    >>> words_of_21(b'[2,"1","TransactionEvent",{"transactionInfo":{"operationMode":"Idle"}}]')
    ['operationMode']
    """
    said = {word.decode() for word in re.findall(rb'"([A-Za-z0-9.]{3,60})\\*"', data)}
    return sorted(said & _only_in_21())


@lru_cache(maxsize=1)
def _only_in_21() -> frozenset[str]:
    old, new = _schemas(OLD), _schemas(NEW)
    out = {name.removesuffix(_SUFFIX) for name in new.keys() - old.keys()}
    for action in ACTIONS["2.1"]:
        before, after = (_types(schemas[action + _SUFFIX]) for schemas in (old, new))
        # What stands below a type that is new is never met without its own name.
        for name in before.keys() & after.keys():
            out |= after[name] - before[name]
    return frozenset(out)


def _schemas(version: str) -> dict[str, Path]:
    folder = Path(ocpp.__file__).parent / _FOLDERS[version] / "schemas"
    return {path.name: path for path in folder.glob(f"*{_SUFFIX}")}


def _types(path: Path) -> dict[str, set[str]]:
    """Keys, or values of a list, by the name of the type; those of the message itself under no name."""
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
    kinds = {"": schema, **schema.get("definitions", {})}
    return {name: {*kind.get("properties", {}), *kind.get("enum", [])} for name, kind in kinds.items()}
