"""A guess with its reason, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

CERTAIN, LIKELY, UNSURE, UNKNOWN = "certain", "likely", "unsure", "unknown"


@dataclass(frozen=True)
class Guess:
    """What was guessed of a file, with the reason.

    Parameters
    ----------
    what
        Property or column.
    value
        What it seems to be.
    confidence
        certain, likely, unsure, or unknown (left open).
    reason
        Why, in words that can be checked in the file.
    """

    what: str
    value: str
    confidence: str
    reason: str
