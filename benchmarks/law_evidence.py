"""Every law of the product against the ageing tests of its chemistry; ``--write`` stores the errors for the cards.

Reads the development half in ``../shared/data/ageing`` (never copied in: errors and intervals are stored, not the
measured capacities). Prints a table; run ``python benchmarks/law_evidence.py [--write]``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from models.ageing import Rows  # noqa: E402  the repository first, then its modules
from models.domain import Pack  # noqa: E402
from models.law_tests import Condition, cell_pack, predict_test  # noqa: E402
from models.laws.base import Law  # noqa: E402
from models.laws.registry import laws_for  # noqa: E402
from models.parameters import load  # noqa: E402
from pipelines.steps.evidence_read import read_file  # noqa: E402

FOLDER = ROOT.parent / "shared" / "data" / "ageing"
FILES = {"lfp": ("naumann_lfp_calendar.csv", "naumann_lfp_cycle.csv")}
SOURCE = {
    "lfp": "benchmarks/law_evidence.py on the development half of Naumann et al., Sony/Murata 26650 LFP cell, Mendeley "
    "kxh42bfgtj and 6hgyr25h8d (CC BY 4.0); each test is predicted by the law alone, without a check-up of its own",
}
CELLS = {"lfp": "LFP cells (Sony/Murata 26650)"}
# Fitted to these very tests.
IN_SAMPLE = ("lfp_sony_own", "sei_ec", "sei_interstitial")
OUT = ROOT / "models" / "parameters" / "law_evidence.toml"
HEADER = """# How wrong each law was on ageing tests of its chemistry (benchmarks/law_evidence.py --write): errors and
# intervals at the check-ups, for the model cards. The measured capacities themselves are not kept here.
"""


def condition_of(rows: Rows, first: int) -> Condition | None:
    """Conditions of a test, None where one is unknown."""
    temp, soc = float(rows.temp_c[first]), float(rows.soc_frac[first])
    if str(rows.kind[first]) == "calendar":
        return None if np.isnan(temp + soc) else Condition(temp, soc)
    values = (temp, soc, *(float(x[first]) for x in (rows.depth_frac, rows.charge_per_h, rows.discharge_per_h)))
    return None if np.isnan(sum(values)) else Condition(*values)


def tests_of(rows: Rows) -> Iterator[tuple[Condition, Rows, np.ndarray]]:
    """Tests whose conditions are known: condition, rows, and the places of the check-ups after the first."""
    for test in dict.fromkeys(rows.test_id.astype(str)):
        mine = rows.take(rows.test_id.astype(str) == test)
        condition = condition_of(mine, 0)
        later = np.flatnonzero(~mine.first & np.isfinite(mine.capacity_frac))
        if condition is not None and later.size:
            yield condition, mine, later


def held(law: Law, pack: Pack, rows: Rows) -> dict[str, list[Any]]:
    """Errors of a law on every test that it can predict."""
    out: dict[str, list[Any]] = {
        n: [] for n in ("tests", "kinds", "outside_frac", "test", "day", "cycles", "error_pp", "low_pp", "high_pp")
    }
    for condition, mine, later in tests_of(rows):
        p = predict_test(law, pack, condition, mine.day[later], mine.cycles[later])
        out["tests"].append(condition.words)
        out["kinds"].append("storage" if condition.depth_frac == 0 else "cycling")
        out["outside_frac"].append(round(p.outside_frac, 3))
        out["test"] += [len(out["tests"]) - 1] * later.size
        out["day"] += [round(float(x), 1) for x in np.nan_to_num(mine.day[later])]
        out["cycles"] += [round(float(x), 1) for x in np.nan_to_num(mine.cycles[later])]
        out["error_pp"] += [round(100 * float(x), 3) for x in p.median - mine.capacity_frac[later]]
        out["low_pp"] += [round(100 * float(x), 3) for x in p.low - p.median]
        out["high_pp"] += [round(100 * float(x), 3) for x in p.high - p.median]
    return out


def main(argv: list[str]) -> int:
    """Print the table; write the evidence where asked."""
    if not FOLDER.is_dir():
        print("The ageing tests are looked for in ../shared/data/ageing beside the checkout, and are not there.")
        return 2
    done: dict[str, tuple[str, dict[str, list[Any]]]] = {}
    for cell_id, cell in load("cells").items():
        chemistry = cell.text("chemistry")
        for law in laws_for(cell_id) if chemistry in FILES else ():
            if law.law_id in done:
                continue
            parts = [held(law, cell_pack(cell_id), read_file(FOLDER / name).rows) for name in FILES[chemistry]]
            found = {n: list(parts[0][n]) for n in parts[0]}
            for part in parts[1:]:
                shift = len(found["tests"])
                part["test"] = [i + shift for i in part["test"]]
                found = {n: found[n] + part[n] for n in found}
            done[f"{law.law_id}"] = (chemistry, found)
    for law_id, (_, found) in done.items():
        error, test = np.array(found["error_pp"]), np.array(found["test"])
        inside = (-error >= np.array(found["low_pp"])) & (-error <= np.array(found["high_pp"]))
        print(
            f"\n{law_id}: {len(found['tests'])} tests; root mean square error, bias [pp], inside [%], outside range [%]"
        )
        for i, name in enumerate(found["tests"]):
            at = test == i
            print(
                f"  {name:66s} {np.sqrt(np.mean(error[at] ** 2)):6.2f} {error[at].mean():6.2f} "
                f"{100 * inside[at].mean():4.0f} {100 * found['outside_frac'][i]:4.0f}"
            )
    if "--write" in argv:
        OUT.write_text(HEADER + "".join(toml(*item) for item in sorted(done.items())), encoding="utf-8")
        print(f"\nWritten: {OUT.relative_to(ROOT)}")
    return 0


def toml(law_id: str, stored: tuple[str, dict[str, list[Any]]]) -> str:
    """One entry."""
    chemistry, found = stored
    units = {"day": "d", "error_pp": "pp", "low_pp": "pp", "high_pp": "pp"}
    lines = [f'\n[{law_id}]\nlabel = "Evidence of {law_id}"\n']
    lines.append(
        f'cells = {{ value = "{CELLS[chemistry]}", unit = "1", source = "{SOURCE[chemistry]}", standing = "seen" }}\n'
    )
    for name, value in (found | {"in_sample": law_id in IN_SAMPLE}).items():
        text = str(value).lower() if isinstance(value, bool) else "[" + ", ".join(_cell(v) for v in value) + "]"
        said = f'unit = "{units.get(name, "1")}", source = "{SOURCE[chemistry]}", standing = "seen"'
        lines.append(f"{name} = {{ value = {text}, {said} }}\n")
    return "".join(lines)


def _cell(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
