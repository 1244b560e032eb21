"""How wrong the laws of ageing tests are on what they have not seen: conditions, whole temperatures, whole protocols.

Each scheme leaves groups of tests out, fits the law to the rest and predicts the group. The shipped widths come from
the first scheme of a family (every condition left out in turn); the others show how far they carry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models.ageing import Rows, mean_rate_per_h
from models.ageing_families import Family, fit_family
from models.ageing_fit import LeftOut, calibrated, curves_of, fast, fit_profile, left_out, uneven
from models.ageing_intervals import Width, by_test, constant_half_frac, interval_score
from models.ageing_models import AgeingModel, StorageModel
from models.domain import BoolArray, FloatArray

SLOW_PER_H = 0.7


@dataclass(frozen=True, eq=False)
class Scheme:
    """One way to leave tests out.

    Parameters
    ----------
    name
        What is left out, in words.
    group
        Rows of one name are left out together, '' = always fitted to, never predicted; shape (n,).
    shown
        What a prediction may see of a row left out.
    """

    name: str
    group: np.ndarray
    shown: Callable[[Rows], Rows]


@dataclass(frozen=True)
class RecordLine:
    """How wrong a law was on a group of tests that it had not seen; means over tests.

    Parameters
    ----------
    law
        Id of the law's entry.
    scheme, group
        What was left out, and which tests the line is about.
    tests
        Their number.
    rmse_pp, bias_pp
        Root-mean-square error; predicted minus measured loss. [pp]
    inside_80_frac
        Share of check-ups inside the 80 % interval. [1]
    score_pp, constant_score_pp
        Mean interval score (Gneiting and Raftery 2007, the smaller the better), and that of an interval of constant
        width calibrated on all conditions left out. [pp]
    """

    law: str
    scheme: str
    group: str
    tests: int
    rmse_pp: float
    bias_pp: float
    inside_80_frac: float
    score_pp: float
    constant_score_pp: float


def _plain(rows: Rows) -> Rows:
    return rows


def _spectrum(day_known: bool) -> Callable[[Rows], Rows]:
    """Rows as a load spectrum states them: no depth, no rates, with or without the day."""

    def blank(rows: Rows) -> Rows:
        none = np.full(rows.n, np.nan)
        bare = replace(rows, depth_frac=none, charge_per_h=none, discharge_per_h=none)
        return bare if day_known else replace(bare, day=none)

    return blank


def _where(keep: BoolArray, label: np.ndarray) -> np.ndarray:
    return np.where(keep, label, "").astype(object)


def _named(values: FloatArray, unit: str) -> np.ndarray:
    return np.array([f"{v:g} {unit}" for v in values], dtype=object)


def schemes(family: Family) -> tuple[Scheme, ...]:
    """All ways to leave tests of a family out, every condition in turn first."""
    rows = family.rows
    first = Scheme("each condition", family.condition.astype(object), _plain)
    if family.profile:
        label = family.condition.astype(str)
        named = np.char.find(label, "_") > 0
        kind = np.array([s.split("_")[0] for s in label], dtype=object)
        kin = np.array([_kin(s) for s in label], dtype=object)
        found = [first]
        if named.any() and np.unique(kind[named]).size > 1:
            found += [Scheme("each family of protocols", _where(named, kin), _plain)]
            found += [Scheme("each kind of protocol", _where(named, kind), _plain)]
        return tuple(found)
    temp = _named(rows.temp_c, "degC")
    soc = _named(rows.soc_frac, "SOC")
    several_t = _several(temp, family.condition) & (np.unique(temp).size > 1)
    several_s = _several(soc, family.condition) & (np.unique(soc).size > 1)
    if rows.kind[0] == "calendar":
        return (first, Scheme("each temperature", temp, _plain), Scheme("each SOC", _where(several_s, soc), _plain))
    even = ~uneven(rows) & ~fast(rows)
    slow = mean_rate_per_h(rows) < SLOW_PER_H
    depth = _named(rows.depth_frac, "depth")
    return (
        first,
        Scheme("each depth", _where(~fast(rows), depth), _plain),
        Scheme("each temperature but the commonest", _where(several_t & ~_commonest(temp), temp), _plain),
        Scheme("all slow tests, mean rate below 0.7C", _where(even & slow, np.full(rows.n, "slow")), _plain),
        Scheme("each condition, depth and rates hidden", _where(even, family.condition), _spectrum(True)),
        Scheme("each condition, depth, rates and day hidden", _where(even, family.condition), _spectrum(False)),
    )


def _kin(protocol: str) -> str:
    """Family of a protocol: its name without the rate (``Periodic_A_Co5``) and the letter of a variant."""
    name = protocol.rsplit("_", 1)[0]
    return name.rstrip("abcdefgh") if name[-1:].islower() and name[-2:-1].isdigit() else name


def _several(label: np.ndarray, condition: np.ndarray) -> BoolArray:
    """Whether a label stands for more than one condition, shape (n,)."""
    many = {u for u in np.unique(label) if np.unique(condition[label == u]).size > 1}
    return np.array([x in many for x in label], dtype=bool)


def _commonest(label: np.ndarray) -> BoolArray:
    names, count = np.unique(label, return_counts=True)
    return label == names[count.argmax()]


def run(family: Family, scheme: Scheme, storage: StorageModel | None) -> LeftOut:
    """Predict every group of a scheme by a law fitted without it, kernels and scaling learned anew."""
    rows = family.rows
    curves = curves_of(rows) if family.profile else None

    def fit(keep: BoolArray) -> AgeingModel:
        if family.profile:
            return fit_profile(rows.take(keep), family.condition[keep], curves=curves)
        return fit_family(rows.take(keep), storage)

    return left_out(rows, scheme.group, fit, scheme.shown)


def groups_of(found: LeftOut, condition: np.ndarray) -> dict[str, BoolArray]:
    """Groups of tests worth a line of their own, each a mask over sorted test ids."""
    ids, first = np.unique(found.rows.test_id.astype(str), return_index=True)
    out = {"all": np.ones(ids.size, dtype=bool)}
    shallow, quick = uneven(found.rows)[first], fast(found.rows)[first]
    if shallow.any() or quick.any():
        out |= {"even, up to 1C": ~shallow & ~quick, "uneven (shallow, half charge)": shallow, "above 1C": quick}
    label = np.array([str(condition[i]).split("_")[0] for i in first])
    if any("_" in str(condition[i]) for i in first) and 1 < np.unique(label).size < 6:
        out |= {str(k): label == k for k in np.unique(label)}
    return {k: v for k, v in out.items() if v.any()}


def rival_half_frac(found: LeftOut) -> float:
    """Half of the constant interval that holds 80 % of left-out check-ups up to 1C: what a width must beat. [1]"""
    keep = ~fast(found.rows) if not fast(found.rows).all() else np.ones(found.rows.n, dtype=bool)
    return constant_half_frac(found.error_frac[keep], found.rows.test_id[keep])


def lines_of(
    law: str, scheme: Scheme, found: LeftOut, condition: np.ndarray, width: Width, rival: float
) -> list[RecordLine]:
    """Summaries of one scheme, by group of tests; `condition` of the rows predicted, shape (n,)."""
    error, half, test = found.error_frac, width.half_frac(found.sd_frac, found.doubt_frac), found.rows.test_id
    flat = np.full(half.size, rival)
    values = {
        "rmse": found.rmse_pp(),
        "bias": 100 * by_test(error, test),
        "inside": by_test(np.abs(error) <= half, test),
        "score": 100 * by_test(interval_score(error, -half, half), test),
        "rival": 100 * by_test(interval_score(error, -flat, flat), test),
    }
    out = []
    for group, at in groups_of(found, condition).items():
        m = {k: float(v[at].mean()) for k, v in values.items()}
        out.append(
            RecordLine(
                law, scheme.name, group, int(at.sum()), m["rmse"], m["bias"], m["inside"], m["score"], m["rival"]
            )
        )
    return out


@dataclass(frozen=True, eq=False)
class Record:
    """All schemes of a family: what the first one found, the width calibrated on it, a line for each group."""

    first: LeftOut
    width: Width
    lines: tuple[RecordLine, ...]


def record(family: Family, storage: StorageModel | None) -> Record:
    """Run all schemes of a family; the width is calibrated on the first, where each condition is left out."""
    every, *others = schemes(family)
    first = run(family, every, storage)
    width, rival = calibrated(first), rival_half_frac(first)
    lines = lines_of(family.entry_id, every, first, family.condition, width, rival)
    for scheme in others:
        used = scheme.group != ""
        if used.any():
            found = run(family, scheme, storage)
            lines += lines_of(family.entry_id, scheme, found, family.condition[used], width, rival)
    return Record(first, width, tuple(lines))
