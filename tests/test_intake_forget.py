"""Forgetting a vehicle: nothing of it is left, the ledger still adds up, and it does not come back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.nightly import opened_night
from pipelines.settings import Settings
from pipelines.steps import forget as step
from pipelines.steps.forget import forget
from pipelines.steps.intake import ingest, register_fleet
from warehouse import forget as forgetting
from warehouse.checks import run_checks
from warehouse.forget_copies import mask_texts
from warehouse.keys import hash_id
from warehouse.store import WarehouseError, open_warehouse

HEAD = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km"
FLEET = (
    "vehicle,home,vehicle_type,in_service_date,market,contract_id,tariff_id,charger_id,time_zone\n"
    "CAR1,Elm Street,demo_nmc_60,2023-02-10,DE,common_oem_70,de_fixed,v2h_7kw,Europe/Berlin\n"
    "CAR2,Oak Street,demo_nmc_60,2023-02-10,DE,common_oem_70,de_fixed,v2h_7kw,Europe/Berlin\n"
)


def row(vehicle: str, minute: int, volts: str = "350") -> str:
    return f"{vehicle},2024-05-01T10:{minute:02d}:00Z,s1,drive,{volts},-20,55.0,21,15,,1000"


def log(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEAD, *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def taken_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two vehicles in one file, refused rows of both and of nobody, and a fleet file."""
    folder = tmp_path_factory.mktemp("taken_in")
    settings = Settings(home=folder / "home")
    (folder / "fleet.csv").write_text(FLEET)
    register_fleet(settings, folder / "fleet.csv")
    rows = [row(car, m) for car in ("CAR1", "CAR2") for m in range(5)]
    rows += [row("CAR1", 6, "777.5x"), row("CAR2", 6, "888.5x"), "CAR1,short", row("CAR1", 1)]
    ingest(settings, [log(folder / "a.csv", *rows)], "fadecast_samples")
    return folder


@pytest.fixture
def home(tmp_path: Path, taken_in: Path) -> Settings:
    """A copy of it that the test may change."""
    shutil.copytree(taken_in, tmp_path, dirs_exist_ok=True)
    return Settings(home=tmp_path / "home")


def test_one_vehicle_goes_and_the_other_stays(home: Settings, tmp_path: Path) -> None:
    one, two = (hash_id(home.home, name) for name in ("CAR1", "CAR2"))
    with open_warehouse(home.home) as wh:
        before = wh.samples(two).rows()
    done = forget(home, "CAR1")
    assert (done.vehicle_id, done.parts, done.records) == (one, 2, 7), "five samples, a refused row, a fleet row"
    assert done.rows == {"core_vehicle": 1, "core_home": 1}
    assert forgetting.search(home.home, one)[2] == []
    with open_warehouse(home.home) as wh:
        assert [c.name for c in run_checks(wh) if not c.passed] == []
        assert wh.samples(two).rows() == before
        assert wh.vehicles_with("samples") == [two]
        found = wh.rows(
            "SELECT rows_read, rows_loaded, rows_rejected, rows_duplicate, rows_forgotten FROM meta_file ORDER BY kind"
        )
        assert found == [(2, 2, 0, 0, 1), (14, 10, 3, 1, 6)]
        assert sorted(wh.rows("SELECT vehicle_id, raw_text FROM raw_reject"), key=str)[-1] == (None, "***")
    everything = b"".join(p.read_bytes() for p in home.home.rglob("*") if p.is_file())
    assert b"777.5x" not in everything and b"888.5x" in everything


def test_a_forgotten_vehicle_does_not_come_back(home: Settings, tmp_path: Path) -> None:
    one = hash_id(home.home, "CAR1")
    forget(home, one)
    again = log(
        tmp_path / "b.csv", *(row(car, m) for car in ("CAR1", "CAR2") for m in range(10, 13)), row("CAR1", 20, "?")
    )
    done = ingest(home, [again], "fadecast_samples")[0]
    assert (done.rows_read, done.rows_loaded, done.rows_rejected, done.rows_forgotten) == (7, 3, 4, 4)
    assert forgetting.search(home.home, one)[2] == []
    with open_warehouse(home.home) as wh:
        assert [c.name for c in run_checks(wh) if not c.passed] == []
    assert forget(home, "CAR1").records == 0, "a second time nothing is left to do"


def test_a_file_that_comes_again_says_what_is_no_longer_there(home: Settings, tmp_path: Path) -> None:
    forget(home, "CAR1")
    (again,) = ingest(home, [tmp_path / "a.csv"], "fadecast_samples")
    assert (again.status, again.rows_loaded, again.rows_forgotten) == ("known", 10, 6)
    said = "of its 14 records are no longer there: `fadecast forget` erased their vehicle, and they stay out."
    assert again.note == f"a.csv: 6 {said}"
    new = log(tmp_path / "b.csv", row("CAR1", 30), row("CAR2", 30))
    assert (
        "1 of its 2 records belong to a vehicle that `fadecast forget` erased"
        in ingest(home, [new], "fadecast_samples")[0].note
    )
    only_two = log(tmp_path / "c.csv", row("CAR2", 40))
    for _ in range(2):
        assert ingest(home, [only_two], "fadecast_samples")[0].note == ""


def test_what_a_killed_run_left_is_finished_by_the_next(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = hash_id(home.home, "CAR1")

    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    for module, name in ((forgetting, "_rejects"), (forgetting, "rewrite"), (step, "_publications")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(KilledError):
                forget(home, "CAR1")
    ingest(home, [log(tmp_path / "b.csv", row("CAR2", 30))], "fadecast_samples")
    assert forgetting.search(home.home, one)[2] == []
    with open_warehouse(home.home) as wh:
        assert wh.rows("SELECT state FROM meta_forgotten") == [("done",)]
        assert [c.name for c in run_checks(wh) if not c.passed] == []


def test_a_part_that_no_table_knows_any_more_goes_at_the_next_night(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(home, [log(tmp_path / "c.csv", row("CAR7", 1))], "fadecast_samples")  # not registered: in its part alone

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(forgetting, "sweep", killed)
        forget(home, "CAR7")
    with opened_night(home, None, lambda _: None):
        pass
    assert forgetting.search(home.home, hash_id(home.home, "CAR7"))[2] == []


def test_names_side_by_side_are_masked_both(home: Settings) -> None:
    with open_warehouse(home.home) as wh:
        wh.con.execute("UPDATE meta_file SET error = 'CAR-0001,CAR-0001;CAR-0001 and CAR-00012'")
        mask_texts(wh, ["CAR-0001"])
        assert wh.scalar("SELECT min(error) FROM meta_file") == "***,***;*** and CAR-00012"


def test_an_unknown_vehicle_and_a_left_copy_are_said(home: Settings) -> None:
    with pytest.raises(WarehouseError, match="knows no vehicle"):
        forget(home, "CAR9")
    (home.home / "notes.txt").write_text(f"see {hash_id(home.home, 'CAR1')}")
    with pytest.raises(WarehouseError, match=r"still in notes\.txt"):
        forget(home, "CAR1")


def test_the_serial_end_of_a_vin_leaves_file_names_and_refused_texts(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    vin = "SJNFAAZE1U0012345"
    file = log(tmp_path / "Log_U0012345_ab.csv", row(vin, 1), row(vin, 2, "x0012345"))
    assert ingest(settings, [file], "fadecast_samples")[0].rows_rejected == 1
    with open_warehouse(settings.home) as wh:
        (path,) = wh.rows("SELECT path FROM meta_file")[0]
        ((rejected, raw),) = wh.rows("SELECT path, raw_text FROM raw_reject")
    assert (path, rejected) == ("Log_***_ab.csv", "Log_***_ab.csv")
    assert "12345" not in raw


def test_a_night_finishes_what_a_killed_run_left(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    one = hash_id(home.home, "CAR1")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "rewrite", killed)
        with pytest.raises(KeyboardInterrupt):
            forget(home, "CAR1")
    with opened_night(home, None, lambda _: None) as night:
        assert night.wh.rows("SELECT state FROM meta_forgotten") == [("done",)]
        assert night.wh.vehicles_with("samples") == [hash_id(home.home, "CAR2")]
    assert forgetting.search(home.home, one)[2] == []


def test_ledgers_of_older_releases_lose_the_ends_of_vins_at_the_next_night(home: Settings) -> None:
    with open_warehouse(home.home) as wh:
        wh.con.execute("UPDATE meta_file SET path = 'Log_U0012345_ab.csv' WHERE kind = 'samples'")
        wh.con.execute("UPDATE raw_reject SET path = 'Log_U0012345_ab.csv', detail = 'Log_012345_x.csv: no'")
        wh.con.execute("DELETE FROM meta_state WHERE subject = 'names'")
    with opened_night(home, None, lambda _: None) as night:
        assert night.wh.rows("SELECT path FROM meta_file WHERE kind = 'samples'") == [("Log_***_ab.csv",)]
        assert night.wh.rows("SELECT DISTINCT path, detail FROM raw_reject") == [
            ("Log_***_ab.csv", "Log_***_x.csv: no")
        ]
        before = night.wh.rows("SELECT * FROM meta_state ORDER BY ALL")
    assert not [p for p in home.home.rglob("*") if p.is_file() and b"0012345" in p.read_bytes()]
    with opened_night(home, None, lambda _: None) as night:
        assert night.wh.rows("SELECT * FROM meta_state ORDER BY ALL") == before


def test_a_proposed_fleet_file_loses_its_lines_and_one_of_another_kind_is_left_alone(home: Settings) -> None:
    ours, other = home.home / "fleet_ours.csv", home.home / "fleet_notes.csv"
    ours.write_bytes(b"vehicle,alias,vehicle_type\nCAR1-long,CP-700,x\nCAR2,,\xff\n")
    other.write_bytes(b"what\n\xfe\x00\n")
    one = hash_id(home.home, "CAR1")
    with open_warehouse(home.home) as wh:
        wh.con.execute("INSERT INTO core_alias VALUES (?, ?)", [hash_id(home.home, "CP-700"), one])
        wh.con.execute("UPDATE meta_file SET error = 'CP-700: no row', path = 'cp-700.csv' WHERE kind = 'samples'")
    done = forget(home, "CAR1")
    assert done.copies == ("fleet_ours.csv",)
    assert ours.read_bytes() == b"vehicle,alias,vehicle_type\nCAR2,,\xff\n" and other.stat().st_size == 8
    with open_warehouse(home.home) as wh:
        assert wh.rows("SELECT path, error FROM meta_file WHERE kind = 'samples'") == [("***.csv", "***: no row")]
