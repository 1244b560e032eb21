"""Models of ageing tests as parameters and back: numbers with unit, source and standing, no pickles."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from models.ageing import Cycling, Storage
from models.ageing_intervals import Width
from models.ageing_models import AgeingModel, CyclingModel, ProfileModel, Scaling, StorageModel
from models.learned.ageing import ConditionKernel
from models.parameters import Entry, ParameterError

_UNITS = {
    "temp_span_c": "degC",
    "rate_span_per_h": "1/h",
    "day_span": "d",
    "conditions": "[degC, 1, 1]",
    "ln_loss": "ln(1)",
}
_DIGITS = 7


@dataclass(frozen=True)
class Fitted:
    """One model and how well it did on conditions left out.

    Parameters
    ----------
    entry_id
        As in the parameter file and in the column `law` of scores.
    source
        Where the tests come from: file, its sha256, cells, number of tests.
    rmse_pp, inside_frac, tests
        Mean over left-out tests: error, share inside the 80 % interval; and their number.
    """

    entry_id: str
    model: AgeingModel
    source: str
    rmse_pp: float
    inside_frac: float
    tests: int


def entry_id_of(model: AgeingModel) -> str:
    """Name of a model's entry."""
    return named_entry(model.cell, model.chemistry, kind_of(model))


def named_entry(cell: str, chemistry: str, kind: str) -> str:
    """Name of an entry: its cell (its chemistry where that has no name) and what the law is for."""
    return f"{short_name(cell_name(cell, chemistry))}_{kind}"


def cell_name(cell: str, chemistry: str) -> str:
    """What a cell is called: its name, else its chemistry, else ``unnamed``."""
    return cell or chemistry or "unnamed"


def short_name(name: str) -> str:
    """A name for a key; what is not ASCII leaves a mark, so that two such names stay apart.

    Examples
    --------
    >>> [short_name(n) for n in ("LG M50 (2021)", "电池一", "电池二")]
    ['lg_m50_2021', 'cell_e04d94', 'cell_d2ef77']
    """
    plain = slug(name)
    if name.isascii() and plain:
        return plain
    return f"{plain or 'cell'}_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:6]}"


def slug(text: str) -> str:
    """Lower case, digits and underscores only."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def kind_of(model: AgeingModel) -> str:
    """``storage``, ``cycling`` or ``profile``."""
    return {StorageModel: "storage", CyclingModel: "cycling", ProfileModel: "profile"}[type(model)]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (bool, str, int)):
        return value
    number = float(value)
    return float(f"{number:.{_DIGITS}g}") if np.isfinite(number) else str(number)


def _kernel(k: ConditionKernel) -> list[Any]:
    return [k.variance, k.linear, k.noise, list(k.lengths), list(k.columns), k.rough]


def parameters_of(fitted: Fitted) -> dict[str, Any]:
    """Everything that rebuilds a model, as plain values by name."""
    m = fitted.model
    out: dict[str, Any] = {"form": kind_of(m), "cell": m.cell, "chemistry": m.chemistry}
    if isinstance(m, (StorageModel, CyclingModel)):
        out |= {f.name: getattr(m.law, f.name) for f in fields(m.law)}
    if isinstance(m, StorageModel):
        out["conditions"] = np.column_stack([m.temp_c, m.soc_frac, m.log_multiplier])
        spans = ("temp_span_c", "soc_span", "day_span")
    elif isinstance(m, CyclingModel):
        out["storage_entry"] = entry_id_of(m.storage) if m.storage else ""
        spans = ("temp_span_c", "depth_span", "rate_span_per_h", "soc_span", "cycles_span")
    elif isinstance(m, ProfileModel):
        s = m.scaling
        out |= {"features": s.names, "offsets": s.offsets, "centre": s.centre, "scale": s.scale}
        out |= {"conditions": m.points, "coefficients": m.coefficients}
        out |= {"kernels": [[_kernel(k) for k in of] for of in m.kernels]}
        spans = ("cycles_span",)
    else:
        raise TypeError(f"no parameters for a {type(m).__name__}")
    out |= {name: getattr(m, name) for name in spans}
    out |= {"floor_frac": m.width.floor_frac, "width_factor": m.width.factor}
    out |= {"left_out_rmse_pp": fitted.rmse_pp, "left_out_inside_80_frac": fitted.inside_frac, "tests": fitted.tests}
    return {name: _plain(value) for name, value in out.items()}


def toml_of(fitted: Fitted) -> str:
    """One entry of a parameter file."""
    lines = [f"[{fitted.entry_id}]", f"label = {_toml(f'Ageing tests: {fitted.model.cell}, {kind_of(fitted.model)}')}"]
    source = _toml(fitted.source)
    for name, value in parameters_of(fitted).items():
        unit = _UNITS.get(name, "pp" if name.endswith("_pp") else "1")
        lines.append(f'{name} = {{ value = {_toml(value)}, unit = "{unit}", source = {source}, standing = "seen" }}')
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def _span(entry: Entry, name: str) -> tuple[float, float]:
    low, high = entry[name].value
    return float(low), float(high)


def _floats(entry: Entry, name: str) -> np.ndarray:
    return np.array(entry[name].value, dtype=np.float64)


def fitted_of(entries: Mapping[str, Entry]) -> tuple[Fitted, ...]:
    """Rebuild every model, in the order of entry ids.

    Raises
    ------
    ParameterError
        An entry names a form or a storage law that there is none of, or lacks a parameter.
    """
    models: dict[str, AgeingModel] = {}
    for entry_id in sorted(entries, key=lambda k: (entries[k].text("form") == "cycling", k)):
        entry = entries[entry_id]
        try:
            models[entry_id] = _model(entry, models)
        except (TypeError, ValueError, IndexError) as e:
            if isinstance(e, ParameterError):
                raise
            raise ParameterError(
                f"{entry.file}: [{entry_id}] does not describe a law ({e}); delete that table, then run "
                "`fadecast evidence fit` again."
            ) from None
    return tuple(
        Fitted(
            entry_id=k,
            model=models[k],
            source=entries[k]["form"].source,
            rmse_pp=entries[k].number("left_out_rmse_pp"),
            inside_frac=entries[k].number("left_out_inside_80_frac"),
            tests=int(entries[k].number("tests")),
        )
        for k in sorted(models)
    )


def _known(table: np.ndarray, name: str) -> None:
    if table.size == 0 or not np.isfinite(table).all():
        raise ValueError(f"{name} must hold numbers, at least one line of them")


def _model(entry: Entry, known: Mapping[str, AgeingModel]) -> AgeingModel:
    form, cell, chemistry = entry.text("form"), entry.text("cell"), entry.text("chemistry")
    width = Width(entry.number("floor_frac"), entry.number("width_factor"))
    if width.floor_frac < 0 or width.factor < 0:
        raise ValueError("floor_frac and width_factor must not be negative")
    if form == "storage":
        table = _floats(entry, "conditions").reshape(-1, 3)
        _known(table, "conditions")
        return StorageModel(
            cell=cell,
            chemistry=chemistry,
            law=Storage(*(entry.number(f.name) for f in fields(Storage))),
            temp_c=table[:, 0],
            soc_frac=table[:, 1],
            log_multiplier=table[:, 2],
            width=width,
            temp_span_c=_span(entry, "temp_span_c"),
            soc_span=_span(entry, "soc_span"),
            day_span=_span(entry, "day_span"),
        )
    if form == "cycling":
        name = entry.text("storage_entry")
        storage = known.get(name)
        if name and not isinstance(storage, StorageModel):
            raise ParameterError(f"{entry.file}: [{entry.entry_id}.storage_entry] names '{name}', no storage law.")
        return CyclingModel(
            cell=cell,
            chemistry=chemistry,
            law=Cycling(*(entry.number(f.name) for f in fields(Cycling))),
            storage=storage if isinstance(storage, StorageModel) else None,
            width=width,
            temp_span_c=_span(entry, "temp_span_c"),
            depth_span=_span(entry, "depth_span"),
            rate_span_per_h=_span(entry, "rate_span_per_h"),
            soc_span=_span(entry, "soc_span"),
            cycles_span=_span(entry, "cycles_span"),
        )
    if form != "profile":
        raise ParameterError(
            f"{entry.file}: [{entry.entry_id}.form] must be one of storage, cycling, profile; got '{form}'."
        )
    names = tuple(str(n) for n in entry["features"].value)
    scaling = Scaling(names, _floats(entry, "offsets"), _floats(entry, "centre"), _floats(entry, "scale"))
    points = _floats(entry, "conditions").reshape(-1, len(names))
    _known(points, "conditions")
    first, second = (
        tuple(
            ConditionKernel(float(k[0]), float(k[1]), float(k[2]), tuple(k[3]), tuple(int(c) for c in k[4]), bool(k[5]))
            for k in of
        )
        for of in entry["kernels"].value
    )
    return ProfileModel(
        cell=cell,
        chemistry=chemistry,
        scaling=scaling,
        points=points,
        coefficients=_floats(entry, "coefficients").reshape(-1, 2),
        kernels=(first, second),
        width=width,
        low=points.min(axis=0),
        high=points.max(axis=0),
        cycles_span=_span(entry, "cycles_span"),
    )
