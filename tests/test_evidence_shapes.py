"""Files as strangers send them: shapes of the sealed half, dress of the table, unknown cells, and how wide it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from evidence_rows import (
    FEATURES,
    NCA,
    SCORE_KEYS,
    Row,
    csv_text,
    made_drive,
    made_test,
    several,
    with_drives,
    write,
)
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.settings import Settings
from pipelines.steps import evidence

COLUMNS = ["test_id", "row", "capacity_frac", "low", "high"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def frame_of(settings: Settings, path: Path, rows: list[Row]) -> pl.DataFrame:
    return evidence.score(settings, [write(path, rows)]).predictions


def half_widths(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Downwards: the upper end is cut where no cell can be."""
    return {str(k[0]): (f["capacity_frac"] - f["low"]).to_numpy() for k, f in frame.sort("row").group_by("test_id")}


def spectrum(**changed: object) -> list[Row]:
    rows = made_test("home battery", "cycle", 40.0, 0.51, None, None, 2100.0, 0.13)
    return [r | changed for r in rows]


def test_sealed_shapes_give_sane_predictions(settings: Settings, tmp_path: Path) -> None:
    rows = [
        *made_test("store 25/100", temp=25.0, soc=1.0),
        *made_test("store 40/37.5", soc=0.375),
        *made_test("slow", "cycle", depth=0.8, rate=0.2, cycles=2100),
        *made_test("shallow high", "cycle", soc=0.75, depth=0.2, rate=1.0, cycles=10_000),
        *spectrum(),
        *made_drive("drive"),
    ]
    frame = frame_of(settings, tmp_path / "a.csv", rows).sort("test_id", "row")
    last = {str(k[0]): f.row(-1, named=True) for k, f in frame.group_by("test_id", maintain_order=True)}
    # Around what the nearest tests of the development half lost (24 pp at 10,000 cycles of 40 % depth, 17 pp at 0.5C).
    expected = {
        "store 25/100": (0.90, 0.95),
        "store 40/37.5": (0.90, 0.94),
        "slow": (0.83, 0.89),
        "shallow high": (0.74, 0.84),
        "home battery": (0.78, 0.92),
        "drive": (0.74, 0.88),
    }
    for name, (low, high) in expected.items():
        assert low < last[name]["capacity_frac"] < high, name
        assert 0.005 < (last[name]["high"] - last[name]["low"]) / 2 < 0.12, name


def test_load_spectra_take_any_part_of_their_fields(settings: Settings, tmp_path: Path) -> None:
    for i, changed in enumerate(
        ({"day": None}, {"day": "NA"}, {"day": None, "temperature_c": "nan"}, {"soc_mean_frac": None}, {"note": "PV"})
    ):
        frame = frame_of(settings, tmp_path / f"{i}.csv", spectrum(**changed))
        assert frame.height == 4 and frame["capacity_frac"].is_between(0.5, 1.0).all()
    known, unknown = (half_widths(frame_of(settings, tmp_path / "k.csv", spectrum(**c))) for c in ({}, {"day": None}))
    assert (unknown["home battery"] > known["home battery"]).all()
    dropped = [{k: v for k, v in r.items() if k not in ("dod_frac", "charge_c_rate", "cell")} for r in spectrum()]
    assert frame_of(settings, tmp_path / "d.csv", dropped).height == 4


@pytest.mark.parametrize("dress", ["bom", "crlf", "semicolon", "decimal comma", "tab", "utf-16", "parquet", "permuted"])
def test_the_dress_of_a_table_does_not_matter(settings: Settings, tmp_path: Path, dress: str) -> None:
    rows = with_drives()
    plain = frame_of(settings, tmp_path / "a.csv", rows)
    path, text = tmp_path / f"{dress.replace(' ', '')}.csv", csv_text(rows)
    if dress == "bom":
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    elif dress == "crlf":
        path.write_bytes(text.replace("\n", "\r\n").encode() + b"\r\n")
    elif dress == "utf-16":
        path.write_text(text, encoding="utf-16")
    elif dress == "parquet":
        path = path.with_suffix(".parquet")
        pl.read_csv(tmp_path / "a.csv").write_parquet(path)
    elif dress == "permuted":
        names = list(rows[0])
        path = write(path, [{k: r[k] for k in reversed(names)} for r in rows])
    elif dress == "decimal comma":
        comma = [{k: str(v).replace(".", ",") if isinstance(v, float) else v for k, v in r.items()} for r in rows]
        path.write_text(csv_text(comma, ";"), encoding="utf-8")
    else:
        path.write_text(csv_text(rows, {"semicolon": ";", "tab": "\t"}[dress]), encoding="utf-8")
    done = evidence.score(settings, [path])
    assert done.datasets[0]["problems"] == []
    assert done.predictions.equals(plain)


def test_profile_columns_dropped_or_added_widen_and_never_break(settings: Settings, tmp_path: Path) -> None:
    whole = half_widths(frame_of(settings, tmp_path / "a.csv", made_drive("drive")))["drive"]
    for i in range(len(FEATURES) + 1):
        gone = list(FEATURES)[:i]
        rows = [{k: v for k, v in r.items() if k not in gone} | {"Extra": 3.5} for r in made_drive("drive")]
        done = evidence.score(settings, [write(tmp_path / f"{i}.csv", rows)])
        assert done.tests[0]["law"] == "nca_siox_graphite_geslin_2024_profile"
        assert done.predictions["capacity_frac"].is_between(0.7, 1.0).all()
        if i >= 3:
            assert half_widths(done.predictions)["drive"][-1] > whole[-1]
            assert not done.tests[0]["in_range"]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (("Other 5 Ah", "LFP/graphite"), "Other 5 Ah"),
        (("", "LTO"), "LTO"),
        (("", ""), "an unnamed cell"),
        (("Other 5 Ah", "Na-ion"), "Other 5 Ah"),
    ],
)
def test_an_unknown_cell_is_wide_and_said(settings: Settings, tmp_path: Path, cell: tuple[str, str], says: str) -> None:
    plans: list[tuple[str, dict[str, Any]]] = [
        ("calendar", {}),
        ("cycle", {"depth": 0.8, "rate": 1.0, "cycles": 8000.0}),
    ]
    for kind, changed in plans:
        own = half_widths(frame_of(settings, tmp_path / "a.csv", made_test("x", kind, **changed)))["x"]
        done = evidence.score(settings, [write(tmp_path / "b.csv", made_test("x", kind, cell=cell, **changed))])
        wide = half_widths(done.predictions)["x"]
        assert (wide > 2.0 * own).all() and not done.tests[0]["in_range"]
        assert any(says in n and "interval wide" in n for n in done.datasets[0]["notes"])


def test_cells_of_the_same_chemistry_lend_more_closely_whatever_its_spelling(
    settings: Settings, tmp_path: Path
) -> None:
    def width(chemistry: str) -> float:
        rows = made_test("x", cell=("Other 5 Ah", chemistry))
        return float(half_widths(frame_of(settings, tmp_path / "a.csv", rows))["x"][-1])

    near = width("LFP/graphite")
    assert width("Li-ion LiFePO4") == width("graphite/LFP") == near
    assert width("Li-ion") == width("NMC/graphite") > 1.8 * near


def test_mixed_cells_in_one_file_each_get_their_law(settings: Settings, tmp_path: Path) -> None:
    done = evidence.score(settings, [write(tmp_path / "a.csv", with_drives())])
    law = {t["test_id"]: t["law"].rsplit("_", 1)[1] for t in done.tests}
    assert law == {
        "stored": "storage",
        "cycled": "cycling",
        "spectrum": "cycling",
        "drive": "profile",
        "other drive": "profile",
    }
    (note,) = done.datasets[0]["notes"]
    assert "dod_frac, charge_c_rate, discharge_c_rate unknown in 4 of 8 rows" in note


def test_intervals_grow_with_time_and_with_distance(settings: Settings, tmp_path: Path) -> None:
    def width(rows: list[Row]) -> np.ndarray:
        (found,) = half_widths(frame_of(settings, tmp_path / "a.csv", rows)).values()
        return found

    for rows in (several()[:5], several()[5:10], spectrum(), made_drive("d")):
        assert (np.diff(width(rows)) > 0).all()
    relative = [width(made_test("x", temp=t))[-1] / frame_loss(settings, tmp_path, t) for t in (60.0, 70.0, 80.0)]
    assert relative[0] < relative[1] < relative[2]
    rates = [width(made_test("x", "cycle", depth=0.8, rate=r, cycles=2000.0))[-1] for r in (0.5, 0.2, 0.07)]
    assert rates[0] < rates[1] < rates[2]
    ends = [width(made_test("x", days=d))[-1] for d in (880.0, 2000.0, 8000.0)]
    assert ends[0] < ends[1] < ends[2]
    drives = [width(made_drive("d", **{"Average Current": i}))[-1] for i in (0.3, 2.0, 8.0)]
    assert drives[0] < drives[1] < drives[2]


def frame_loss(settings: Settings, folder: Path, temp: float) -> float:
    return 1 - float(frame_of(settings, folder / "l.csv", made_test("x", temp=temp))["capacity_frac"][-1])


def test_one_refused_file_among_good_ones_ends_in_1_and_says_so(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good.csv", several()), tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n", encoding="utf-8")
    out = tmp_path / "out.csv"
    base = ["--home", str(tmp_path / "home"), "evidence", "score"]
    done = CliRunner().invoke(app, [*base, str(good), str(bad), "--predictions", str(out), "--json"])
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert set(answer) == {"tests", "datasets"}
    assert [list(t) for t in answer["tests"]] == [["file", *SCORE_KEYS]] * 3
    assert any("bad.csv" in p for d in answer["datasets"] for p in d["problems"])
    assert pl.read_csv(out).columns == ["file", *COLUMNS]
    alone = CliRunner().invoke(app, [*base, str(good), "--predictions", str(out), "--json"])
    assert alone.exit_code == 0
    assert [list(t) for t in json.loads(alone.stdout)["tests"]] == [SCORE_KEYS] * 3
    assert pl.read_csv(out).columns == COLUMNS


def test_ends_of_an_interval_are_possible_and_never_shrink_to_a_point(settings: Settings, tmp_path: Path) -> None:
    rows = [
        *made_test("hot", temp=115.0, soc=1.0, days=36_000.0),
        *made_test("new", "cycle", depth=0.8, rate=1.0, cycles=9000.0, cell=("", "Na-ion")),
    ]
    frame = frame_of(settings, tmp_path / "a.csv", rows)
    assert frame["low"].min() == 0.0 and ((frame["high"] - frame["low"]) > 0.01).all()
    assert frame["high"].is_between(0.01, 1.05).all() and (frame["high"] >= frame["capacity_frac"]).all()


def test_reversible_share_stands_beside_what_lasts(settings: Settings, tmp_path: Path) -> None:
    rows = made_test("shallow", "cycle", depth=0.2, rate=1.0, cycles=3000.0, loss=0.2)
    done = evidence.score(settings, [write(tmp_path / "a.csv", rows)])
    (share,) = done.datasets[0]["reversible"]
    lost = 100 * (1 - done.predictions["capacity_frac"][-1])
    assert share["test_id"] == "shallow" and share["last_reversible_pp"] > 5
    assert share["last_reversible_pp"] + share["last_irreversible_pp"] == pytest.approx(lost)


def test_a_nameless_cell_with_profile_features_uses_the_profile_law(settings: Settings, tmp_path: Path) -> None:
    rows = [r | {"cell": "", "chemistry": NCA[1]} for r in made_drive("drive")]
    done = evidence.score(settings, [write(tmp_path / "a.csv", rows)])
    assert done.tests[0]["law"] == "nca_siox_graphite_geslin_2024_profile (borrowed)"
