"""A format in the making."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from warehouse.explaining.guess import Guess


@dataclass
class Draft:
    """A format in the making."""

    kind: str
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    open: dict[str, dict[str, Any]] = field(default_factory=dict)  # columns that want an answer first
    guesses: list[Guess] = field(default_factory=list)
    time: dict[str, Any] = field(default_factory=dict)
    elapsed: dict[str, Any] = field(default_factory=dict)
    meter: dict[str, Any] = field(default_factory=dict)
    json: dict[str, Any] = field(default_factory=dict)
    personal: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
