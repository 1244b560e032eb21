"""Fit every law that files of ageing tests allow, one set for each cell, and how each does on conditions left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.ageing import Rows, joined
from models.ageing_entries import Fitted, cell_name, named_entry
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
        return named_entry(str(self.rows.cell[0]), str(self.rows.chemistry[0]), self.kind)


def profiled(rows: Rows) -> BoolArray:
    """Whether a row carries features beyond the exchange format, shape (n,)."""
    known = [np.isfinite(v) for k, v in rows.features.items() if k not in STANDARD_FEATURES]
    return np.any(known, axis=0) if known else np.zeros(rows.n, dtype=bool)


def varies(rows: Rows) -> bool:
    """Whether a feature beyond the exchange format differs between rows."""
    known = [v[np.isfinite(v)] for k, v in rows.features.items() if k not in STANDARD_FEATURES]
    return any(v.size and np.ptp(v) > 1e-9 * max(1e-9, float(np.abs(v).max())) for v in known)


def families(groups: Sequence[FitGroup]) -> list[Family]:
    """Storage tests, constant cycling and profiles of every cell; storage first, since cycling stands on it."""
    return sorted_out(groups)[0]


def sorted_out(groups: Sequence[FitGroup], known: Sequence[Fitted] = ()) -> tuple[list[Family], list[str]]:
    """Families that a law can be fitted to, and a sentence for each set of tests that none can be fitted to.

    Tests of one name in several files are several tests; unnamed cells of different chemistries are different cells.

    Parameters
    ----------
    groups
        One a file.
    known
        Laws there are, whose short names are taken by their cells.
    """
    if not groups:
        return [], []
    rows = replace(joined([g.rows for g in groups]), test_id=_own_ids(groups))
    protocol = np.concatenate([g.protocol for g in groups])
    origin = np.concatenate([np.full(g.rows.n, i) for i, g in enumerate(groups)])
    _, place, count = np.unique(rows.test_id.astype(str), return_inverse=True, return_counts=True)
    stored = rows.kind == "calendar"
    good = ~rows.first & np.isfinite(rows.capacity_frac) & (count[place] > _MIN_CHECKUPS)
    good &= np.where(stored, rows.day, rows.cycles) > 0.0
    # A storage law is one of temperature and SOC: rows that don't state them would teach it wrong ones.
    good &= ~stored | (np.isfinite(rows.temp_c) & np.isfinite(rows.soc_frac))
    dynamic = profiled(rows) & (rows.kind == "cycle")
    taken = {f.entry_id: cell_name(f.model.cell, f.model.chemistry) for f in known}
    out: list[Family] = []
    left: list[str] = []
    names = np.array([cell_name(str(c), str(x)) for c, x in zip(rows.cell, rows.chemistry, strict=True)], dtype=object)
    for cell in np.unique(names.astype(str)):
        mine = names == cell
        changing = dynamic & mine & good
        if changing.any() and not varies(rows.take(changing)):
            dynamic = dynamic & ~mine  # columns that never change tell nothing of a profile
        for kind, profile in (("calendar", False), ("cycle", False), ("cycle", True)):
            every = mine & (rows.kind == kind) & (dynamic == profile)
            if not every.any():
                continue
            keep = every & good
            own = usable(rows.take(keep))
            condition = (
                storage_conditions(own)
                if kind == "calendar"
                else profile_conditions(own, protocol[keep])
                if profile
                else cycling_conditions(own)
            )
            source = "; ".join(groups[i].source for i in np.unique(origin[keep]))
            least, found = MIN_PROFILES if profile else MIN_CONDITIONS, int(np.unique(condition).size)
            called = f"{cell}, {'profiles' if profile else 'storage' if kind == 'calendar' else 'cycling'}"
            if found < least:
                needs = "of known temperature and SOC, " if kind == "calendar" else ""
                left.append(
                    f"{called}: no law is fitted; {least} conditions are needed, {needs}each of {_MIN_CHECKUPS + 1} "
                    f"check-ups or more, and there are {found}."
                )
                continue
            family = Family(own, condition, source, profile)
            if taken.setdefault(family.entry_id, cell) != cell:
                other = taken[family.entry_id]
                left.append(f"{called}: its short name {family.entry_id} is that of the cell '{other}'; rename one.")
                continue
            out.append(family)
    return out, left


def _own_ids(groups: Sequence[FitGroup]) -> np.ndarray:
    """Names of tests, the number of the file beside those that stand in several files, shape (n,)."""
    files: dict[str, set[int]] = {}
    for i, g in enumerate(groups):
        for name in set(g.rows.test_id):
            files.setdefault(str(name), set()).add(i)
    return np.array(
        [
            f"{name} (file {i + 1})" if len(files[str(name)]) > 1 else str(name)
            for i, g in enumerate(groups)
            for name in g.rows.test_id
        ],
        dtype=object,
    )


def leave_conditions_out(family: Family, storage: StorageModel | None) -> LeftOut:
    """Predict each condition of a family by a model fitted without it: kernels and scaling of profiles, too.

    Parameters
    ----------
    family
        Of storage, cycling or profile tests.
    storage
        Storage law that a cycling law stands on.
    """
    rows = family.rows
    if family.profile:
        curves = curves_of(rows)

        def fit(keep: BoolArray) -> AgeingModel:
            return fit_profile(rows.take(keep), family.condition[keep], curves=curves)

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


def fit_families(families: Iterable[Family], known: Sequence[Fitted] = ()) -> list[tuple[Fitted, Family, LeftOut]]:
    """Fit families; with each what its left-out conditions showed.

    Parameters
    ----------
    families
        As from `sorted_out`: storage of a cell before its cycling.
    known
        Models there are; a cycling law stands on a storage law of its cell, newly fitted or known.
    """
    out: list[tuple[Fitted, Family, LeftOut]] = []
    for family in families:
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
