"""What there is to say of one law: equation, source, tested range, parameters, limits, and how wrong it has been."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.ageing_crossval import RecordLine
from models.ageing_record import HELD_OUT_KIND, RECORD_KIND, HeldOutSeries, held_out_series, record_lines
from models.law_tests import Condition, LawEvidence, law_evidence
from models.laws import power_rates
from models.laws.base import Law
from models.laws.registry import laws_for
from models.laws.sei import parameters_id
from models.parameters import Entry, Parameter, entry, load

CARDS = "law_cards"
_WORDS = ("label", "limits", "calendar_form", "cycling_form", "chemistry")


@dataclass(frozen=True)
class LawCard:
    """A law for a page.

    Parameters
    ----------
    law_id, label, chemistry
        As in the registry; a law that serves more than one cell has one card (no chemistry, if it serves several).
    cells
        Entries of ``cells.toml`` whose ensemble it belongs to.
    equation
        One line a term.
    source
        Where equation and numbers come from.
    ranges
        Variable -> lowest and highest value the law was found at.
    limits
        Where it fails, in words.
    parameters
        All its numbers with unit, source and standing, by the name of the set they belong to.
    evidence
        Errors on ageing tests; None where it was never held against one.
    record
        Errors when tests were left out in other ways, with the interval's score (`models.ageing_record`).
    """

    law_id: str
    label: str
    chemistry: str
    cells: tuple[str, ...]
    equation: tuple[str, ...]
    source: str
    ranges: tuple[tuple[str, float, float], ...]
    limits: str
    parameters: tuple[tuple[str, tuple[Parameter, ...]], ...]
    evidence: LawEvidence | None = None
    record: tuple[RecordLine, ...] = ()


def law_cards(home: Path | None = None) -> tuple[LawCard, ...]:
    """Cards of all laws that speak for any cell, sorted by name.

    Raises
    ------
    ParameterError
        A law has neither an equation of its own nor one in ``law_cards.toml``.
    """
    cells: dict[str, list[str]] = {}
    first: dict[str, tuple[str, Law]] = {}
    for cell_id in sorted(load("cells", home)):
        for law in laws_for(cell_id, home):
            cells.setdefault(law.law_id, []).append(cell_id)
            first.setdefault(law.law_id, (cell_id, law))
    return tuple(_card(law, cell, tuple(cells[law_id]), home) for law_id, (cell, law) in sorted(first.items()))


def _card(law: Law, cell_id: str, cells: tuple[str, ...], home: Path | None) -> LawCard:
    power = load("laws_power", home).get(law.law_id)
    if power is not None:
        numbers, limits, source = {law.law_id: power}, power.text("limits"), law.source
        equation = power_rates.equations(power)
    else:
        words = entry(CARDS, law.law_id, home)
        sets = dict.fromkeys(entry("cells", c, home).text("parameter_set") for c in cells)
        numbers = {s: entry("laws", parameters_id(law.law_id, s), home) for s in sets}
        limits, source, equation = words.text("limits"), words["equation"].source, (words.text("equation"),)
    return LawCard(
        law.law_id,
        law.label,
        law.chemistry if power is not None else "",
        cells,
        equation,
        source,
        _ranges(next(iter(numbers.values()))),
        limits,
        tuple((name, _shown(e)) for name, e in numbers.items()),
        law_evidence(law.law_id, home),
    )


def _shown(e: Entry) -> tuple[Parameter, ...]:
    return tuple(p for n, p in e.parameters.items() if n not in _WORDS and not n.startswith("valid_"))


def _ranges(e: Entry) -> tuple[tuple[str, float, float], ...]:
    found = ((n.removeprefix("valid_"), p.value) for n, p in sorted(e.parameters.items()) if n.startswith("valid_"))
    return tuple((name, float(low), float(high)) for name, (low, high) in found)


def evidence_cards(home: Path | None = None) -> tuple[LawCard, ...]:
    """Cards of the laws that `fadecast evidence` predicts ageing tests with, each test predicted without its condition.

    Raises
    ------
    ParameterError
        A stored law names a form that has no words in ``law_cards.toml``.
    """
    series, lines = held_out_series(load(HELD_OUT_KIND, home)), record_lines(load(RECORD_KIND, home))
    out: list[LawCard] = []
    packaged, special = load("evidence"), load(CARDS, home)
    for law_id, e in sorted(load("evidence", home).items()):
        words = entry(CARDS, e.text("form"), home)
        # What only the packaged law's tests leave open is no word on a law that somebody fitted to others.
        own = special[law_id].text("limits") if e is packaged.get(law_id) and law_id in special else ""
        mine = [s for s in series if s.law == law_id]
        spans = tuple(
            (n.removesuffix("_c").removesuffix("_per_h").removesuffix("_span"), p.value)
            for n, p in sorted(e.parameters.items())
            if "_span" in n
        )
        out.append(
            LawCard(
                law_id,
                e.label,
                e.text("chemistry"),
                (),
                (words.text("equation"),),
                f"{words['equation'].source}; {e['form'].source}",
                tuple((name, float(low), float(high)) for name, (low, high) in spans),
                f"{words.text('limits')} {own}".strip(),
                ((law_id, _numbers(e)),),
                _held_out(mine, e["form"].source) if mine else None,
                tuple(line for line in lines if line.law == law_id),
            )
        )
    return tuple(out)


def _numbers(e: Entry) -> tuple[Parameter, ...]:
    """Numbers for a table; matrices and kernels stay in the file."""
    return tuple(p for n, p in e.parameters.items() if isinstance(p.value, (int, float)) and n not in _WORDS)


def _named(series: HeldOutSeries) -> str:
    """A test's condition in words, with its name where conditions repeat or are names of protocols."""
    if series.condition == series.test_id:
        return series.test_id
    try:
        said = Condition(*(float(part) for part in series.condition.split("|"))).words
    except (TypeError, ValueError):  # the name of a protocol
        said = series.condition.replace("_", " ")
    return f"{said} ({series.test_id})"


def _held_out(series: list[HeldOutSeries], source: str) -> LawEvidence:
    """Errors of left-out tests as evidence; an error of the loss is that of the capacity with its sign turned."""
    stored = series[0].axis == "day"
    x = np.concatenate([s.x for s in series])
    half = np.concatenate([s.half_width_pp for s in series])
    return LawEvidence(
        test=np.concatenate([np.full(s.x.shape[0], i) for i, s in enumerate(series)]),
        day=x,
        cycles=x,
        error_pp=-np.concatenate([s.error_pp for s in series]),
        low_pp=-half,
        high_pp=half,
        tests=tuple(_named(s) for s in series),
        kinds=("storage" if stored else "cycling",) * len(series),
        outside=np.zeros(len(series), dtype=bool),
        in_sample=False,
        source=f"{source}; every test predicted by a law fitted without its condition",
        left_out=True,
    )
