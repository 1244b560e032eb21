"""Keyed hashing of vehicle ids at the door, and the mark of a demo home.

A VIN or user id never enters the warehouse: it becomes ``v`` and 12 hexadecimal digits of its HMAC-SHA256 with the
key in ``<home>/id.key`` (mode 0600, outside the database). A demo home derives its key from the seed, so that the
same seed gives the same ids, and therefore takes no other logs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from functools import lru_cache
from typing import TYPE_CHECKING

from warehouse.disk import make_home

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KEY_FILE = "id.key"
DEMO_FILE = "demo.json"
KEY_BYTES = 32
# 17 characters without I, O and Q, with at least one digit: a vehicle identification number (ISO 3779).
_VIN = re.compile(r"(?<![A-Za-z0-9])(?=[A-HJ-NPR-Za-hj-npr-z]*[0-9])[A-HJ-NPR-Za-hj-npr-z0-9]{17}(?![A-Za-z0-9])")
# The last seven or eight characters of one: a letter and perhaps another sign, then the serial number. Leaf Spy names
# its files by them ("Log_U0012345_ab.csv", "Log_012345_ab.csv"). Eight digits that are a day since 2000
# ("log_20240501.csv") are none: they would begin with the model year 2002 or 2032.
_VIN_END = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:[A-HJ-NPR-Z][A-HJ-NPR-Z0-9]?|[0-9][A-HJ-NPR-Z])[0-9]{6}"
    r"|(?<=log_)(?!20[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9]))[0-9]{6,8})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[^\s@,;:'\"<>()|]+@[^\s@,;:'\"<>()|]+\.[^\W\d_]{2,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
MASK = "***"


class KeyFileError(ValueError):
    """The key file is not what it should be; one sentence."""


def id_key(home: Path) -> bytes:
    """Key of a home, made (random, mode 0600) when there is none yet.

    Raises
    ------
    KeyFileError
        The file is there but holds no key.
    """
    path = home / KEY_FILE
    if not path.exists():
        _write_key(home, secrets.token_bytes(KEY_BYTES))
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise KeyFileError(f"The key file {path} is damaged; restore it from a copy, or vehicle ids would change.")
    return bytes.fromhex(text)


def write_demo_key(home: Path, seed: int) -> None:
    """Key of a demo home: derived from the seed."""
    _write_key(home, hashlib.sha256(f"fadecast demo key {seed}".encode()).digest())


def _write_key(home: Path, key: bytes) -> None:
    make_home(home)
    temporary = home / f"{KEY_FILE}.{os.getpid()}.tmp"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(home / KEY_FILE)


def hash_id(home: Path, text: str) -> str:
    """Vehicle id of a VIN or user id: ``v`` + 12 hexadecimal digits; outer blanks and a VIN's case count not."""
    return _hash(id_key(home), text)


def hash_ids(home: Path, texts: Iterable[str]) -> dict[str, str]:
    """Vehicle ids of several texts; the key is read once."""
    key = id_key(home)
    return {text: _hash(key, text) for text in texts}


def tombstone(home: Path, vehicle_id: str) -> str:
    """Mark of a forgotten vehicle: a keyed hash of its id, from which the id does not follow without the key."""
    return hmac.new(id_key(home), f"forgotten {vehicle_id}".encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=100_000)
def _hash(key: bytes, text: str) -> str:
    text = text.strip()
    text = text.upper() if _VIN.fullmatch(text) else text
    return "v" + hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:12]


def mask_vins(text: str) -> str:
    """Text with everything that looks like a VIN replaced.

    Examples
    --------
    >>> mask_vins("log_WBY1Z21040V307900_may.csv")
    'log_***_may.csv'
    """
    return _VIN.sub(MASK, text)


def mask_vin_ends(text: str) -> str:
    """Text with everything that looks like the end of a VIN replaced (a date of six or eight digits stays).

    Examples
    --------
    >>> mask_vin_ends("Log_U0012345_ab.csv"), mask_vin_ends("may_20240501.csv"), mask_vin_ends("log_20240501.csv")
    ('Log_***_ab.csv', 'may_20240501.csv', 'log_20240501.csv')
    """
    return _VIN_END.sub(MASK, text)


def utf8_text(text: str) -> str:
    r"""Text that can be stored and printed: bytes of a file's name that are no UTF-8 are shown as a question mark.

    Examples
    --------
    >>> utf8_text("b\udcffad.csv")
    'b?ad.csv'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def clean_text(text: str) -> str:
    """Text fit for the ledger: no control characters, nothing like a VIN, the end of one, or an e-mail address.

    Examples
    --------
    >>> clean_text("WBY1Z21040V307900 of jane.doe@example.org\\x1b[2J")
    '*** of *** [2J'
    """
    return mask_vin_ends(mask_vins(_EMAIL.sub(MASK, _CONTROL.sub(" ", utf8_text(text)))))


def write_demo_marker(home: Path, seed: int, sha256s: Iterable[str]) -> None:
    """Mark a home as a demo: only files with these hashes are taken in."""
    make_home(home)
    temporary = home / f"{DEMO_FILE}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps({"seed": seed, "sha256": sorted(set(sha256s))}, indent=1) + "\n", encoding="utf-8")
    temporary.replace(home / DEMO_FILE)


def demo_files(home: Path) -> frozenset[str] | None:
    """Hashes of the files a demo home takes; `None` in any other home. Raises `KeyFileError` when unreadable."""
    path = home / DEMO_FILE
    if not path.exists():
        return None
    try:
        return frozenset(str(text) for text in json.loads(path.read_text(encoding="utf-8"))["sha256"])
    except (ValueError, KeyError, TypeError):
        raise KeyFileError(f"{path} is damaged; run `fadecast demo` again.") from None
