"""Fit every law that files of ageing tests allow, one set for each cell, and how each does on conditions left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.ageing import Rows, joined
from models.ageing_entries import Fitted, slug
from models.ageing_fit import (
    MIN_PROFILES,
    LeftOut,
    calibrated,
    curves_of,
    cycling_conditions,
    fit_cycling,
    fit_profile,
    fit_storage,
    left_out,
    profile_conditions,
    storage_conditions,
    usable,
)
from models.ageing_intervals import Width, by_test
from models.ageing_models import STANDARD_FEATURES, AgeingModel, StorageModel
from models.domain import BoolArray

MIN_CONDITIONS = 3
_MIN_CHECKUPS = 2


@dataclass(frozen=True, eq=False)
class FitGroup:
    """Rows of one file, the protocol of each ('' = none), shape (n,), and where they come from."""

    rows: Rows
    protocol: np.ndarray
    source: str


@dataclass(frozen=True, eq=False)
class Family:
    """What one law is fitted to: usable rows, the condition of each, the names of the sources."""

    rows: Rows
    condition: np.ndarray
    source: str
    profile: bool

    @property
    def kind(self) -> str:
        """``storage``, ``cycling`` or ``profile``."""
        return "profile" if self.profile else "storage" if self.rows.kind[0] == "calendar" else "cycling"

    @property
    def entry_id(self) -> str:
        """Id of the law's entry: its cell and what it is for."""
        return f"{slug(str(self.rows.cell[0]) or str(self.rows.chemistry[0]) or 'unnamed')}_{self.kind}"


def profiled(rows: Rows) -> BoolArray:
    """Whether a row carries features beyond the exchange format, shape (n,)."""
    known = [np.isfinite(v) for k, v in rows.features.items() if k not in STANDARD_FEATURES]
    return np.any(known, axis=0) if known else np.zeros(rows.n, dtype=bool)


def families(groups: Sequence[FitGroup]) -> list[Family]:
    """Storage tests, constant cycling and profiles of every cell; storage first, since cycling stands on it."""
    rows = joined([g.rows for g in groups])
    protocol = np.concatenate([g.protocol for g in groups])
    origin = np.concatenate([np.full(g.rows.n, i) for i, g in enumerate(groups)])
    _, place, count = np.unique(rows.test_id, return_inverse=True, return_counts=True)
    good = ~rows.first & np.isfinite(rows.capacity_frac) & (count[place] > _MIN_CHECKUPS)
    dynamic = profiled(rows) & (rows.kind == "cycle")
    out = []
    for cell in np.unique(rows.cell.astype(str)):
        at = good & (rows.cell == cell)
        for kind, profile in (("calendar", False), ("cycle", False), ("cycle", True)):
            keep = at & (rows.kind == kind) & (dynamic == profile)
            if not keep.any():
                continue
            own = usable(rows.take(keep))
            condition = (
                storage_conditions(own)
                if kind == "calendar"
                else profile_conditions(own, protocol[keep])
                if profile
                else cycling_conditions(own)
            )
            if np.unique(condition).size >= (MIN_PROFILES if profile else MIN_CONDITIONS):
                source = "; ".join(groups[i].source for i in np.unique(origin[keep]))
                out.append(Family(own, condition, source, profile))
    return out


def leave_conditions_out(family: Family, storage: StorageModel | None, relearn: bool = False) -> LeftOut:
    """Predict each condition of a family by a model fitted without it.

    Parameters
    ----------
    family
        Of storage, cycling or profile tests.
    storage
        Storage law that a cycling law stands on.
    relearn
        Learn a profile's kernels and scaling anew without the condition (slower; for the printed table).
    """
    rows = family.rows
    if family.profile:
        curves = curves_of(rows)
        like = None if relearn else fit_profile(rows, family.condition, curves=curves)

        def fit(keep: BoolArray) -> AgeingModel:
            return fit_profile(rows.take(keep), family.condition[keep], like, curves=curves)

        return left_out(rows, family.condition, fit)
    return left_out(rows, family.condition, lambda keep: fit_family(rows.take(keep), storage))


def fit_family(rows: Rows, storage: StorageModel | None, width: Width | None = None) -> AgeingModel:
    """Fit the law of storage tests or that of cycling tests, whichever the rows are."""
    more = {} if width is None else {"width": width}
    return fit_storage(rows, **more) if rows.kind[0] == "calendar" else fit_cycling(rows, storage, **more)


def storage_for(rows: Rows, candidates: Sequence[AgeingModel]) -> StorageModel | None:
    """The storage law of the same cell, else of the same chemistry, else None."""
    stored = [m for m in candidates if isinstance(m, StorageModel)]
    own = [m for m in stored if m.cell == rows.cell[0]] + [m for m in stored if m.chemistry == rows.chemistry[0]]
    return own[0] if own else None


def fit_groups(groups: Sequence[FitGroup], known: Sequence[Fitted] = ()) -> list[tuple[Fitted, Family, LeftOut]]:
    """Fit all families of some files; with each what its left-out conditions showed.

    Parameters
    ----------
    groups
        One a file.
    known
        Models there are; a cycling law stands on a storage law of its cell, newly fitted or known.
    """
    out: list[tuple[Fitted, Family, LeftOut]] = []
    for family in families(groups) if groups else []:
        newest: list[AgeingModel] = [f.model for f, _, _ in out]
        storage = storage_for(family.rows, [*newest, *(f.model for f in known)])
        found = leave_conditions_out(family, storage)
        out.append((fitted_family(family, storage, found), family, found))
    return out


def fitted_family(family: Family, storage: StorageModel | None, found: LeftOut) -> Fitted:
    """The model of a whole family, its interval and its record from what left-out conditions showed."""
    width = calibrated(found)
    model = (
        fit_profile(family.rows, family.condition, width=width)
        if family.profile
        else fit_family(family.rows, storage, width)
    )
    inside = by_test(np.abs(found.error_frac) <= width.half_frac(found.sd_frac, found.doubt_frac), found.rows.test_id)
    return Fitted(
        entry_id=family.entry_id,
        model=model,
        source=family.source,
        rmse_pp=float(found.rmse_pp().mean()),
        inside_frac=float(inside.mean()),
        tests=int(np.unique(family.rows.test_id).size),
    )
