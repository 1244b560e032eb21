"""Which laws speak for a cell: the members of its ensemble, in a fixed order."""

from __future__ import annotations

from pathlib import Path

from models.laws import sei
from models.laws.base import Law
from models.laws.power import power_law
from models.parameters import ParameterError, entry, load


def laws_for(cell_id: str, home: Path | None = None) -> tuple[Law, ...]:
    """Members of the ensemble of a cell: SEI members first, then its semi-empirical laws.

    The cell's own list ``laws`` (``cells.toml``) names and orders the latter; where a cell has none, all laws of its
    chemistry speak (NCA has those of NMC beside its own).

    Parameters
    ----------
    cell_id
        Entry of ``parameters/cells.toml``.
    home
        Where own parameters lie, if any.

    Raises
    ------
    ParameterError
        The cell is not known, or no law knows it.
    """
    cell = entry("cells", cell_id, home)
    laws: list[Law] = list(sei.members(cell_id, home))
    power = load("laws_power", home)
    named = cell.get("laws")
    if named is None:
        chemistry = cell.text("chemistry")
        like = {chemistry, "nmc"} if chemistry == "nca" else {chemistry}
        named = [law_id for law_id in sorted(power) if power[law_id].text("chemistry") in like]
    known = {law.law_id for law in laws}
    laws += [power_law(law_id, home) for law_id in named if law_id in power and law_id not in known]
    missing = [law_id for law_id in named if law_id not in power and law_id not in known]
    if missing or not laws:
        raise ParameterError(
            f"{cell.file}: [{cell_id}.laws] names {', '.join(missing) or 'no law'}; "
            f"there are {', '.join(sorted({*power, *known}))}."
        )
    return tuple(laws)


def get(law_id: str, cell_id: str, home: Path | None = None) -> Law:
    """One member of a cell's ensemble by name.

    Raises
    ------
    ParameterError
        The cell's ensemble has no such member.
    """
    laws = laws_for(cell_id, home)
    for law in laws:
        if law.law_id == law_id:
            return law
    raise ParameterError(f"Cell '{cell_id}' has no law '{law_id}'; it has: {', '.join(x.law_id for x in laws)}.")
