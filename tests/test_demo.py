"""The demo: same bytes in any home, counted rows, no other logs in its home, a score against the truth."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from models.synthetic import Fleet, SimulatedCar, fleet_of, simulate, specs_of
from models.synthetic_truth import formula_archetype
from pipelines import demo
from pipelines.demo_files import FORMATS, files_of, sha256_of, write_files
from pipelines.errors import UserError
from pipelines.settings import Settings
from warehouse.keys import demo_files, hash_id
from warehouse.store import open_warehouse


def _quick_fleet(vehicles: int, days: int, seed: int, workers: int) -> tuple[Fleet, list[SimulatedCar]]:
    fleet = fleet_of(vehicles, days, seed)
    archetypes = {spec: formula_archetype(spec) for spec in specs_of(fleet)}
    return fleet, [simulate(fleet, k, archetypes) for k in range(vehicles)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No PyBaMM: the archetypes follow a formula."""
    monkeypatch.setattr(demo, "simulate_fleet", _quick_fleet)


def test_same_seed_same_bytes_in_another_home(tmp_path: Path, tiny_fleet: tuple[Fleet, list[SimulatedCar]]) -> None:
    fleet, sims = tiny_fleet
    one = write_files(tmp_path / "one", fleet, sims, 40)
    two = write_files(tmp_path / "two", fleet, _quick_fleet(len(sims), 40, fleet.seed, 1)[1], 40)
    assert [sha256_of(p) for p in one.all] == [sha256_of(p) for p in two.all]
    assert one.truth.read_bytes() == two.truth.read_bytes()
    again = files_of(tmp_path / "one")
    assert again is not None and set(again.all) == set(one.all) and again.rows == one.rows
    assert tuple(again.by_format) == FORMATS == tuple(one.by_format)
    assert files_of(tmp_path / "nothing") is None


def test_rows_are_taken_in_and_counted(tiny_home: Path) -> None:
    truth = json.loads((tiny_home / "truth" / "truth.json").read_text())
    with open_warehouse(tiny_home) as wh:
        kinds = dict(wh.rows("SELECT kind, sum(rows_read)::BIGINT FROM meta_file GROUP BY kind ORDER BY kind"))
        bad = wh.scalar(
            "SELECT count(*) FROM meta_file WHERE rows_read <> rows_loaded + rows_rejected + rows_duplicate"
        )
        reject, twice = wh.rows(
            "SELECT sum(rows_rejected)::BIGINT, sum(rows_duplicate)::BIGINT FROM meta_file WHERE kind = 'samples'"
        )[0]
        cohorts = wh.rows("SELECT cohort_id FROM core_vehicle ORDER BY vehicle_id")
        ids = {row[0] for row in wh.rows("SELECT vehicle_id FROM core_vehicle")}
    rows = truth["rows"]
    assert bad == 0
    assert kinds["samples"] == rows["samples"] + rows["unparsable"]
    assert (kinds["sessions"], kinds["home"], kinds["price"]) == (rows["sessions"], rows["home"], rows["price"])
    assert twice == sum(car["defects"]["duplicates"] for car in truth["cars"])
    assert reject == rows["unparsable"]
    assert sorted(c[0] for c in cohorts) == sorted(car["cohort_id"] for car in truth["cars"])
    assert ids == {hash_id(tiny_home, car["vehicle"]) for car in truth["cars"]}


def test_only_the_logs_name_the_vehicles(tiny_home: Path) -> None:
    names = [car["vehicle"].encode() for car in json.loads((tiny_home / "truth" / "truth.json").read_text())["cars"]]
    inside = [p for p in tiny_home.rglob("*") if p.is_file() and p.parent.name not in ("logs", "truth")]
    assert inside and not any(name in p.read_bytes() for p in inside for name in names)


def test_a_demo_home_keeps_its_demo(tmp_path: Path, quick: None) -> None:
    settings = Settings(home=tmp_path / "home")
    first = demo.simulate_files(settings, 2, 15, 4)
    stamp = first.fleet.stat().st_mtime_ns
    assert demo.simulate_files(settings, 2, 15, 4).fleet.stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="holds a demo of 2 vehicles, 15 days, seed 4"):
        demo.simulate_files(settings, 3, 15, 4)
    first.fleet.write_text("damaged")
    demo.simulate_files(settings, 2, 15, 4)
    assert sha256_of(first.fleet) in (demo_files(settings.home) or ())


def test_a_home_of_real_logs_is_left_alone(tmp_path: Path, quick: None) -> None:
    with open_warehouse(tmp_path / "home"):
        pass
    with pytest.raises(UserError, match="not a demo's"):
        demo.simulate_files(Settings(home=tmp_path / "home"), 2, 15, 4)


def test_run_demo_takes_in_runs_the_night_and_scores(tmp_path: Path, tiny_home: Path, quick: None) -> None:
    home = tmp_path / "home"
    shutil.copytree(tiny_home, home)
    nights: list[Path] = []

    def night(settings: Settings) -> None:
        nights.append(settings.home)
        cars = json.loads((home / "truth" / "truth.json").read_text())["cars"]
        with open_warehouse(home) as wh:
            state = [
                {
                    "vehicle_id": hash_id(home, car["vehicle"]),
                    "soh_frac": car["soh_frac"] + 0.01,
                    "soh_low_frac": car["soh_frac"] - 0.01,
                    "soh_high_frac": car["soh_frac"] + 0.03,
                }
                for car in cars
            ]
            columns = wh.read("SELECT * FROM out_vehicle_state LIMIT 0").columns
            frame = pl.DataFrame(state)
            missing = [c for c in columns if c not in frame.columns]
            wh.write("out_vehicle_state", frame.with_columns([pl.lit(None).alias(c) for c in missing]))

    console = Console(file=io.StringIO(), width=160)
    result = demo.run_demo(Settings(home=home), 3, 40, 3, night, console)
    assert nights == [home]
    assert {r.status for r in result.intake} == {"known"}
    assert [f.name for f in result.found] == ["capacity now"]
    assert result.found[0].bias_pp == pytest.approx(1.0)
    score = json.loads((home / "truth" / "score.json").read_text())
    assert score[0]["rmse_pp"] == pytest.approx(1.0) and score[0]["inside_80_frac"] == 1.0
    text = console.file.getvalue() if isinstance(console.file, io.StringIO) else ""
    assert "capacity now" in text and "Pages are at" in text


@pytest.mark.slow
def test_archetypes_are_solved_in_processes() -> None:
    fleet, sims = demo.simulate_fleet(1, 15, 2, 2)
    assert len(fleet.cars) == len(sims) == 1
    assert 0.7 < float(sims[0].truth.soh(10.0)) < 0.95
