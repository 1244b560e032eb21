"""The schemas of the `ocpp` package, and what they say about the keys of messages.

Validated in full: TransactionEvent, MeterValues, StartTransaction and StopTransaction. Every other message carries no
reading for us and is only looked at as a frame. Keys that a schema does not know are tolerated and counted
(vendors add them), and so is a reading written as text instead of a number or the other way round.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ocpp
from ocpp.messages import get_validator

from warehouse.keys import MASK
from warehouse.readers import ocpp_tokens as tokens

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from numpy.typing import NDArray

CALL = 2
ACTIONS = {
    "1.6": ("MeterValues", "StartTransaction", "StopTransaction"),
    "2.0.1": ("MeterValues", "TransactionEvent"),
    "2.1": ("MeterValues", "TransactionEvent"),
}
# Keys of the logger's own object around a message, as central systems write them.
STATION_KEYS = (
    *("stationId", "station_id", "chargePointId", "charge_point_id", "chargepointId", "chargePoint", "charge_point"),
    *(
        "chargeBoxId",
        "charge_box_id",
        "chargingStationId",
        "charger_id",
        "chargerId",
        "identity",
        "cpId",
        "cp_id",
        "cpid",
    ),
    *("clientId", "client_id", "station"),
)
MESSAGE_KEYS = ("message", "frame", "msg", "ocpp", "raw", "data", "body", "payload")
TIME_KEYS = ("timestamp", "time", "ts", "@timestamp", "receivedAt", "received_at", "createdAt", "created_at", "date")
ACTION_KEYS = ("action", "messageAction", "ocppAction")
TYPE_KEYS = ("messageTypeId", "message_type_id", "messageType", "message_type", "type")
ID_KEYS = ("messageId", "message_id", "uniqueId", "unique_id", "id")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_NUMBER_TEXT = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_LOOSE_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_TIME_LIKE = re.compile(r"\d{4}-\d{2}-\d{2}[T ][\d:.]+(Z|[+-]\d{2}:?\d{2})?")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)("?)')
_LONG = re.compile(r"\d{7,}")
_LETTERS = re.compile(r"[^\W\d_]+")
# A number as fine as degrees that tell a street, and what stands under a name that is not the specification's.
_FINE = re.compile(r"(?<![\d.])\d{1,3}\.\d{4,}")
_UNDER_MASK = re.compile(re.escape(MASK) + r'":(\s*)-?\d[\d.eE+-]*')


def problems(payload: Any, action: str, version: str) -> tuple[str | None, bool]:
    """What is wrong with a message's payload by the package's schema.

    Returns
    -------
    tuple
        Sentence on the first fault that is not tolerated (with the key, never a value), or `None`; whether the message
        has keys that the schema does not know or readings of the other type.
    """
    loose = False
    for error in get_validator(CALL, action, version).iter_errors(payload):
        if error.validator == "additionalProperties" or _reading(error):
            loose = True
        else:
            return _sentence(error, version), loose
    return None, loose


def _reading(error: ValidationError) -> bool:
    """A reading as a number where OCPP 1.6 wants text, or as the text of a number where later versions want one."""
    if error.validator != "type" or not error.path or error.path[-1] != "value":
        return False
    value = error.instance
    return (isinstance(value, str) and reading(value) is not None) or (
        isinstance(value, int | float) and not isinstance(value, bool)
    )


def reading(value: Any) -> float | None:
    """A plain reading as a number; `None` when it is none."""
    if isinstance(value, str) and _LOOSE_NUMBER.fullmatch(value) is None:
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


def _sentence(error: ValidationError, version: str) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.path).lstrip(".")
    rule, value = error.validator, error.validator_value
    if rule == "required" and isinstance(value, list) and isinstance(error.instance, dict):
        missing = next(key for key in value if key not in error.instance)
        return f"key '{f'{path}.{missing}'.lstrip('.')}' is missing"
    said = {
        "type": f"is not of type {value}",
        "enum": f"is none of the words of OCPP {version}",
        "maxLength": f"is longer than {value} characters",
        "minItems": "is an empty list",
        "minimum": f"is below {value}",
        "maximum": f"is above {value}",
    }.get(str(rule), f"breaks the schema's {rule}")
    return f"key '{path}' {said}" if path else f"the payload {said}"


def _schemas(version: str) -> list[Any]:
    return [get_validator(CALL, action, version).schema for action in ACTIONS[version]]


@lru_cache
def key_classes(version: str) -> dict[str, int]:
    """Key -> what it says about its value (see `ocpp_tokens`), derived from the schemas."""
    marks: dict[str, int] = {}

    def add(name: str, mark: int) -> None:
        marks[name] = marks.get(name, 0) | mark

    for schema in _schemas(version):
        definitions = schema.get("definitions", {})
        for name, rule in _properties(schema):
            while "$ref" in rule:
                rule = definitions[rule["$ref"].rsplit("/", 1)[-1]]
            if "enum" in rule:
                add(name, tokens.STRUCTURAL_TEXT)
            if "maximum" in rule or rule.get("minimum", 0) != 0:
                add(name, tokens.STRUCTURAL_NUMBER)
    add("unit", tokens.STRUCTURAL_TEXT)
    for name in ("multiplier", "id", "evseId", "connectorId"):
        add(name, tokens.STRUCTURAL_NUMBER)
    for name in (*ACTION_KEYS, *TYPE_KEYS):
        add(name, tokens.WRAPPER_STRUCTURAL)
    for name in TIME_KEYS:
        add(name, tokens.TIME)
    add("value", tokens.NUMBER_TEXT)
    return marks


def _properties(node: Any) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "properties":
                found += [(name, rule) for name, rule in value.items() if isinstance(rule, dict)]
                found += [pair for rule in value.values() for pair in _properties(rule)]
            else:
                found += _properties(value)
    elif isinstance(node, list):
        found += [pair for part in node for pair in _properties(part)]
    return found


@lru_cache
def text_lengths(version: str) -> NDArray[np.int64]:
    """Every length limit of the schemas, ascending."""
    found: set[int] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("maxLength"), int):
                found.add(node["maxLength"])
            for part in node.values():
                walk(part)
        elif isinstance(node, list):
            for part in node:
                walk(part)

    walk(_schemas(version))
    return np.array(sorted(found), dtype=np.int64)


@lru_cache
def _vocabulary() -> frozenset[str]:
    """Words of the specification: names of actions and keys, and the words of its enumerations."""
    words: set[str] = {*STATION_KEYS, *MESSAGE_KEYS, *TIME_KEYS, *ACTION_KEYS, *TYPE_KEYS, *ID_KEYS}
    folder = Path(ocpp.__file__).parent
    for version in ("v16", "v201", "v21"):
        for path in sorted((folder / version / "schemas").glob("*.json")):
            words.add(path.stem.removesuffix("Request").removesuffix("Response"))
            node = json.loads(path.read_text(encoding="utf-8-sig"))
            for name, rule in _properties(node):
                words.add(name)
                words.update(word for word in rule.get("enum", ()) if isinstance(word, str))
            for rule in node.get("definitions", {}).values():
                words.update(word for word in rule.get("enum", ()) if isinstance(word, str))
    return frozenset(word for word in words if _WORD.fullmatch(word)) | {"%", "Wh", "kWh", "W", "kW", "A", "V"}


def masked(text: str, most: int) -> str:
    """Text of a refused message: of what is quoted only the specification's words, times and short numbers stay."""
    words = _vocabulary()

    def inside(match: re.Match[str]) -> str:
        said = match.group(1)
        stays = said in words or _TIME_LIKE.fullmatch(said)
        stays = stays or (
            len(said) <= 12 and _NUMBER_TEXT.fullmatch(said) and not (_LONG.search(said) or _FINE.search(said))
        )
        return f'"{said if stays else MASK}{match.group(2)}'

    def outside(part: str) -> str:
        part = _LETTERS.sub(lambda m: m.group() if m.group() in ("true", "false", "null", "e", "E") else MASK, part)
        return _FINE.sub(MASK, _LONG.sub(MASK, part))

    out: list[str] = []
    at = 0
    text = text[: 4 * most]
    for match in _QUOTED.finditer(text):
        out += [outside(text[at : match.start()]), inside(match)]
        at = match.end()
    out.append(outside(text[at:]))
    return _UNDER_MASK.sub(rf'{MASK}":\1{MASK}', "".join(out))[:most]
