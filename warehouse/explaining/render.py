"""A draft as the TOML of a format, with the reasons as comments."""

from __future__ import annotations

import json
import re
from typing import Any

from warehouse.explaining.draft import Draft
from warehouse.explaining.guess import UNKNOWN, Guess
from warehouse.explaining.shape import Shape

_WIDTH = 120


def toml_of(found: Draft, shape: Shape, file_name: str, file_type: str) -> str:
    """TOML of a format; what could not be told stands as a comment to fill in."""
    stem = re.sub(r"[^a-z0-9]+", "_", file_name.lower().split(".")[0]).strip("_") or "log"
    name = stem if stem[0].isalpha() else f"log_{stem}"
    out = [
        f"# Proposed by `fadecast ingest --explain {_safe(file_name)}`. Read the reasons and confirm each line.",
        f"name = {_value(name)}",
        f"title = {_value('Proposed from ' + _safe(file_name))}",
        f"kind = {_value(found.kind)}",
    ]
    if file_type == "json":
        out.append('reader = "json"')
    if found.personal:
        out.append(f"personal = {_value(found.personal)}")
    reasons = {g.what: g for g in found.guesses}
    if file_type != "json":
        out += _section("file", {"type": file_type} | shape.file)
    out += _section("json", found.json)
    out += _section("lines", shape.lines)
    out += _time(found, reasons)
    if found.elapsed:
        out += ["", *_comment(reasons.get("date")), "[elapsed]"]
        base = found.elapsed["base"]
        out += [f"{k} = {base if k == 'base' else _value(v)}" for k, v in found.elapsed.items()]
    out += _section("meter", found.meter)
    out += ["", "[columns]"]
    for canonical, keys in found.columns.items():
        out += _comment(reasons.get(canonical))
        if "sign" in keys:
            out += _comment(reasons.get("sign of current" if canonical == "current_a" else "sign of power"))
        out.append(f"{canonical} = {_value(keys)}")
    for canonical, keys in found.open.items():
        out.append("# Not told by the file; complete the line and take the mark away:")
        out += _comment(reasons.get(canonical))
        if "sign" in keys:
            out += _comment(reasons.get("sign of current" if canonical == "current_a" else "sign of power"))
        out.append(f"# {canonical} = {_value(keys)}")
    if found.unused:
        out.append("# Not used: " + ", ".join(map(_safe, found.unused)))
    return "\n".join(out) + "\n"


def _time(found: Draft, reasons: dict[str, Guess]) -> list[str]:
    if not found.time:
        return []
    lines = ["", "[time]"]
    for key, what in (("format", "time format"), ("epoch_unit_seconds", ""), ("zone", "time zone")):
        if key in found.time:
            lines += _comment(reasons.get(what))
            lines.append(f"{key} = {_value(found.time[key])}")
    return lines


def _section(name: str, keys: dict[str, Any]) -> list[str]:
    return ["", f"[{name}]", *(f"{k} = {_value(v)}" for k, v in keys.items())] if keys else []


def _comment(guess: Guess | None) -> list[str]:
    if guess is None:
        return []
    lead = "not known" if guess.confidence == UNKNOWN else guess.confidence
    return [f"# {lead}: {_safe(guess.reason)}"]


def _safe(text: str) -> str:
    """Text on one line of a comment."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, the deleted character apart.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return repr(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
