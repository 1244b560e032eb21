"""Which law predicts a row: that of its cell, else of its chemistry, else of any, wider at each step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.ageing import Rows
from models.ageing_entries import Fitted, slug
from models.ageing_models import CyclingModel, Forecast, ProfileModel, StorageModel, feature, transferred
from models.domain import FloatArray, IntArray

_CATHODES = ("lfp", "lmfp", "nmc", "nca", "lco", "lmo", "lnmo")
_ALIKE = {"lifepo4": "lfp", "ncm": "nmc"}
SAME_CHEMISTRY_LOG_SD = 0.4
ANY_CHEMISTRY_LOG_SD = 1.0


@dataclass(frozen=True, eq=False)
class Choice:
    """Rows of one cell and kind, and the law that predicts them.

    Parameters
    ----------
    rows
        Their places, shape (n,).
    law
        Id of the entry; with a note in brackets where it is borrowed.
    log_sd
        Scatter of the loss between the law's cell and that of the rows, 0 when they are the same. [1]
    note
        A sentence for people, '' when there is nothing to say.
    """

    rows: IntArray
    fitted: Fitted
    law: str
    log_sd: float
    note: str

    def forecast(self, rows: Rows) -> Forecast:
        """Predict rows, each by its own conditions."""
        done = self.fitted.model.forecast(rows)
        return done if self.log_sd == 0 else transferred(rows, done, self.log_sd)

    def unknown(self, rows: Rows) -> str:
        """A sentence on fields that the law needs and rows after the first check-ups don't state, '' without any."""
        later = rows.take(~rows.first)
        gone = {n: np.isnan(feature(later, n)) for n in self.fitted.model.fields()}
        many: dict[int, list[str]] = {}
        for name, mask in gone.items():
            if mask.any():
                many.setdefault(int(mask.sum()), []).append(name)
        if not many:
            return ""
        named = "; ".join(f"{', '.join(names)} unknown in {n} of {later.n} rows" for n, names in many.items())
        return f"{named}: usual values stand in, interval wider ({self.fitted.entry_id})."

    def half_frac(self, done: Forecast) -> FloatArray:
        """Half of the 80 % interval of the loss, shape (n,). [1]"""
        return self.fitted.model.width.half_frac(done.sd_frac, done.doubt_frac)


def chemistry_class(text: str) -> str:
    """The word of a chemistry by which cells are alike: LTO, else the cathode; all of it where neither is known.

    Examples
    --------
    >>> [chemistry_class(t) for t in ("LFP/graphite", "Li-ion, LiFePO4", "graphite / NCM811", "NMC/LTO", "Na-ion", "")]
    ['lfp', 'lfp', 'nmc811', 'lto', 'na_ion', '']
    """
    words = [re.sub(r"^(lifepo4|ncm)", lambda m: _ALIKE[m.group()], w) for w in slug(text).split("_")]
    named = [w for w in words if w.startswith(_CATHODES)]
    return "lto" if "lto" in words else named[0] if named else slug(text)


def choose(rows: Rows, known: Sequence[Fitted]) -> tuple[Choice, ...]:
    """Split rows by cell, chemistry, kind and whether they carry features, and choose a law for each group."""
    groups: dict[tuple[str, str, str, bool], list[int]] = {}
    profiled = _profiled(rows, known)
    for i in range(rows.n):
        key = (str(rows.cell[i]), str(rows.chemistry[i]), str(rows.kind[i]), bool(profiled[i]))
        groups.setdefault(key, []).append(i)
    out = []
    for key in sorted(groups):
        found = _pick(*key, known)
        if found is not None:
            fitted, log_sd = found
            law, note = fitted.entry_id, ""
            if log_sd:
                law = f"{law} (borrowed)"
                named = key[0] or key[1] or "an unnamed cell"
                note = (
                    f"no law is fitted to {named} ({key[2]}): predicted by {fitted.entry_id}, "
                    "interval wide, out of range."
                )
            out.append(Choice(np.array(groups[key], dtype=np.int64), fitted, law, log_sd, note))
    return tuple(out)


def _profiled(rows: Rows, known: Sequence[Fitted]) -> np.ndarray:
    """Whether a row carries at least half of the features beyond the format of some profile law."""
    out = np.zeros(rows.n, dtype=bool)
    for f in known:
        if isinstance(f.model, ProfileModel):
            names = [n for n in f.model.scaling.names if n in rows.features]
            extra = [n for n in f.model.scaling.names if n[:1].isupper() or n not in _FORMAT]
            if names and extra:
                share = np.mean([np.isfinite(rows.features[n]) for n in names], axis=0) * len(names) / len(extra)
                out |= share >= 0.5
    return out


_FORMAT = frozenset({"temperature_c", "soc_mean_frac", "dod_frac", "charge_c_rate", "discharge_c_rate"})


def _pick(cell: str, chemistry: str, kind: str, profiled: bool, known: Sequence[Fitted]) -> tuple[Fitted, float] | None:
    def able(f: Fitted) -> int:
        """Rank of a law for this kind of row, 0 the best; 9: cannot."""
        if kind == "calendar":
            return 0 if isinstance(f.model, StorageModel) else 9
        order: tuple[type, ...] = (ProfileModel, CyclingModel) if profiled else (CyclingModel, ProfileModel)
        return order.index(type(f.model)) if isinstance(f.model, order) else 9

    def distance(f: Fitted) -> float:
        if cell and f.model.cell == cell:
            return 0.0
        same = chemistry_class(chemistry) and chemistry_class(f.model.chemistry) == chemistry_class(chemistry)
        return SAME_CHEMISTRY_LOG_SD if same else ANY_CHEMISTRY_LOG_SD

    ranked = sorted((distance(f), able(f), f.entry_id, i) for i, f in enumerate(known) if able(f) < 9)
    if not ranked:
        return None
    log_sd, _, _, place = ranked[0]
    if log_sd == ANY_CHEMISTRY_LOG_SD:
        place = min(ranked, key=lambda r: (r[1], r[2]))[3]
    return known[place], log_sd
