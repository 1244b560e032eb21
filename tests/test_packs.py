"""Small raw parts in packs: nothing but their places changes, whatever comes after or in between."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from pipelines.settings import Settings
from pipelines.steps.forget import forget
from pipelines.steps.intake import ingest
from warehouse import packs
from warehouse.checks import run_checks
from warehouse.digest import digest
from warehouse.logbook import logbook
from warehouse.store import Warehouse, WarehouseError, open_warehouse

HEAD = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km"
NIGHTS = 20


def line(night: int, minute: int, car: str, volts: float = 350.0) -> str:
    return f"{car},2024-05-{1 + night:02d}T10:{minute:02d}:00Z,s{night},drive,{volts},-20,55.0,21,15,,1000"


def night_of(folder: Path, night: int, cars: tuple[str, ...] = ("CAR0", "CAR1")) -> Path:
    """One export; each begins with the last minutes of the one before, and minute 7 comes late."""
    path = folder / f"{night:02d}.csv"
    before = [line(night - 1, m, car) for m in (28, 29) for car in cars] if night else []
    rows = [line(night, m, car) for m in [*range(7), *range(8, 30), 7] for car in cars]
    path.write_text("\n".join([HEAD, *before, *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def taken_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty nights of two cars, not packed yet."""
    folder = tmp_path_factory.mktemp("nights")
    files = [night_of(folder, night) for night in range(NIGHTS)]
    ingest(Settings(home=folder / "home"), files, "fadecast_samples")
    return folder


@pytest.fixture
def home(tmp_path: Path, taken_in: Path) -> Settings:
    """A copy of it that the test may change."""
    shutil.copytree(taken_in, tmp_path, dirs_exist_ok=True)
    return Settings(home=tmp_path / "home")


def state(wh: Warehouse) -> dict[str, object]:
    book = logbook(wh)
    assert {v: book[v].paths["samples"] for v in book} == {v: wh.parts("samples", v) for v in book}
    lives = {v: wh.samples_and_late(v, book[v]) for v in wh.vehicles_with("samples")}
    seen = {v: (frame.rows(), late.to_list()) for v, (frame, late) in lives.items()}
    return {"digest": digest(wh), "lives": seen, "failed": [c.name for c in run_checks(wh) if not c.passed]}


@pytest.fixture(scope="module")
def before(taken_in: Path) -> dict[str, object]:
    """What those nights hold before anything is packed."""
    with open_warehouse(taken_in / "home") as wh:
        return state(wh)


def test_packs_change_places_alone(home: Settings, before: dict[str, object], tmp_path: Path) -> None:
    with open_warehouse(home.home) as wh:
        assert len(wh.parts("samples")) == NIGHTS
        assert packs.compact(wh) == packs.Packed(NIGHTS, 1)
        assert len(wh.parts("samples")) == 1 == len(list((home.home / "raw").rglob("*.parquet")))
        assert state(wh) == before and before["failed"] == []
        assert all(len(late) == NIGHTS for _, late in before["lives"].values())  # type: ignore[union-attr]
        assert packs.compact(wh) == packs.Packed(0, 0)
    # What is in a pack is known: a copy with another first line brings nothing new, a contradiction is refused.
    again = tmp_path / "again.csv"
    again.write_text("\n".join([HEAD, line(3, 5, "CAR0"), line(3, 6, "CAR0", 351.0), line(25, 0, "CAR0")]) + "\n")
    done = ingest(home, [again], "fadecast_samples")[0]
    assert (done.rows_read, done.rows_loaded, done.rows_rejected, done.rows_duplicate) == (3, 1, 1, 1)


def test_a_vehicle_in_a_pack_is_forgotten(home: Settings) -> None:
    with open_warehouse(home.home) as wh:
        packs.compact(wh)
        one, two = wh.vehicles_with("samples")
        kept = wh.samples(two).rows()
        path = wh.parts("samples")[0]
    done = forget(home, one)
    assert done.parts == NIGHTS and not path.exists()
    with open_warehouse(home.home) as wh:
        assert wh.samples(one).height == 0 and wh.samples(two).rows() == kept
        assert [c.name for c in run_checks(wh) if not c.passed] == []
        assert wh.scalar("SELECT sum(rows) FROM meta_part") == len(kept)
        texts = pl.read_parquet(wh.parts("samples")[0])["vehicle_id"]
        assert texts.unique().to_list() == [two]
    done = forget(home, two)
    assert list((home.home / "raw").rglob("*.parquet")) == []


def test_a_run_killed_in_between_leaves_what_the_next_one_ends(
    home: Settings, before: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for place in ("write_part", "sweep"):  # before the ledger knows the pack, and before the old files go
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), open_warehouse(home.home) as wh:
            patch.setattr(packs, place, killed)
            packs.compact(wh)
        with open_warehouse(home.home) as wh:
            assert state(wh) == before
    ingest(home, [home.home.parent / "00.csv"], "fadecast_samples")  # sweeps
    assert len(list((home.home / "raw").rglob("*.parquet"))) == 1


def test_a_lost_part_is_said_and_nothing_is_packed(home: Settings) -> None:
    with open_warehouse(home.home) as wh:
        wh.parts("samples")[3].unlink()
        with pytest.raises(WarehouseError, match="in the ledger but not on the disk; restore"):
            packs.compact(wh)
        assert wh.scalar("SELECT count(DISTINCT part_path) FROM meta_part") == NIGHTS


def test_large_files_stay_and_packs_grow_by_size(
    home: Settings, before: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "SIZES", (100, 1000))
    monkeypatch.setattr(packs, "MOST_ROWS", 600)
    with open_warehouse(home.home) as wh:
        packs.compact(wh)  # 60 rows a file: ten to a pack of 600, which is of the next size
        assert [pl.read_parquet(p).height for p in wh.parts("samples")] == [600, 600]
        assert state(wh) == before
