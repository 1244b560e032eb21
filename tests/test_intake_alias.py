"""Aliases: logs of a car and of its charger, under two names, are one life."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings import Settings
from pipelines.steps.forget import forget
from pipelines.steps.history import samples_of
from pipelines.steps.intake import ingest, register_fleet
from tests.test_intake_fleet import BASE, failed, fleet
from warehouse.forget import search
from warehouse.keys import hash_id
from warehouse.logbook import logbook
from warehouse.store import open_warehouse

SAMPLES = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km\n"


def logs(folder: Path) -> tuple[Path, Path]:
    """A log of the car, and one of its charger under the charger's name."""
    car, charger = folder / "car.csv", folder / "charger.csv"
    car.write_text(
        SAMPLES + "".join(f"CAR1,2024-05-01T10:{m:02d}:00Z,s1,drive,350,-20,55,21,15,,1000\n" for m in (0, 1))
    )
    charger.write_text(SAMPLES + "".join(f"CP7,2024-05-01T19:{m:02d}:00Z,s2,charge,,,50,,,7.0,\n" for m in range(3)))
    return car, charger


@pytest.mark.parametrize("registered_alone", [False, True])
def test_logs_of_car_and_charger_are_one_life(tmp_path: Path, registered_alone: bool) -> None:
    home = Settings(home=tmp_path / "home")
    car, charger = (hash_id(home.home, name) for name in ("CAR1", "CP7"))
    if registered_alone:
        register_fleet(home, fleet(tmp_path / "alone.csv", BASE | {"vehicle": "CP7", "home": "Oak"}))
    done = register_fleet(home, fleet(tmp_path / "f.csv", BASE | {"alias": "CP7; CAR1 ;OTHER"}))
    assert (done.rows_loaded, done.vehicles, done.homes) == (1, 1, 1), "the charger is no vehicle of its own"
    assert all(not result.note for result in ingest(home, list(logs(tmp_path)), "fadecast_samples"))
    with open_warehouse(home.home) as wh:
        assert wh.vehicles_with("samples") == [car]
        assert list(book := logbook(wh)) == [car], "and the night, which reads the ledger once, sees the same"
        assert (book[car].names, book[car].paths) == (wh.names_of(car), {"samples": wh.parts("samples", car)})
        assert book[car].rows == 5 and wh.samples_and_late(car, book[car])[0].equals(wh.samples(car))
        rows = wh.samples(car)
        assert (rows.height, rows["vehicle_id"].unique().to_list()) == (5, [car])
        assert b"CP7" not in b"".join(p.read_bytes() for p in home.home.rglob("*") if p.is_file())
        wh.con.execute("ALTER TABLE core_alias ADD COLUMN old INTEGER")
    with open_warehouse(home.home) as wh:
        assert wh.names_of(car) == [car, *sorted((charger, hash_id(home.home, "OTHER")))], "from the fleet parts again"
    assert failed(home.home) == []


def test_two_chargers_of_one_car_are_told_apart(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    car = hash_id(home.home, "CAR1")
    register_fleet(home, fleet(tmp_path / "f.csv", BASE | {"alias": "CP7;CP8"}))
    log = tmp_path / "chargers.csv"
    rows = [f"{cp},2024-05-01T19:{m:02d}:00Z,{ref},charge,,,50,,,{kw},\n" for m in range(4)
            for cp, ref, kw in (("CP7", "s2", 7.0), ("CP8", "", 0.0))]  # fmt: skip
    log.write_text(SAMPLES + "".join(rows))
    ingest(home, [log], "fadecast_samples")
    with open_warehouse(home.home) as wh:
        frame = wh.samples(car)
        assert frame.height == 8 and sorted(frame["meter"].unique()) == [1, 2]
        assert set(samples_of(frame).meter.tolist()) == {1, 2}


def test_two_cars_on_one_charger_are_told_apart_by_their_cards(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    cars = [BASE | {"vehicle": f"CAR{n}", "home": "Elm", "alias": f"CARD{n}"} for n in (1, 2)]
    assert register_fleet(home, fleet(tmp_path / "f.csv", *cars)).rows_rejected == 0
    packaged = resources.files("warehouse") / "formats" / "ocpp_16.toml"
    form = tmp_path / "by_card.toml"
    form.write_text(packaged.read_text().replace('name = "ocpp_16"', 'name = "by_card"') + 'owner = "token"\n')
    frames: list[Any] = []
    for n in (1, 2):
        at = f"2025-03-0{n}T18:"
        frames += [
            [2, f"s{n}", "StartTransaction", {"connectorId": 1, "idTag": f"CARD{n}", "meterStart": 1000 * n,
                                              "timestamp": at + "00:00Z"}],
            [3, f"s{n}", {"transactionId": n, "idTagInfo": {"status": "Accepted"}}],
            [2, f"e{n}", "StopTransaction", {"meterStop": 1000 * n + 500 * n, "timestamp": at + "30:00Z",
                                             "transactionId": n}],
        ]  # fmt: skip
    log = tmp_path / "CP7_log.jsonl"
    log.write_text("\n".join(json.dumps(f) for f in frames))
    (done,) = ingest(home, [log], str(form))
    assert (done.status, done.note) == ("loaded", "")
    with open_warehouse(home.home) as wh:
        for n in (1, 2):
            assert wh.sessions(hash_id(home.home, f"CAR{n}"))["energy_in_meter_kwh"].to_list() == [0.5 * n]


def test_an_alias_taken_out_leaves_the_charger_to_itself(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    alone = BASE | {"vehicle": "CP7"}
    for n, rows in enumerate(([alone], [BASE | {"alias": "CP7"}], [BASE, alone])):
        done = register_fleet(home, fleet(tmp_path / f"{n}.csv", *rows))
        assert (done.rows_read, done.rows_loaded, done.vehicles) == (len(rows), len(rows), len(rows)), n
    with open_warehouse(home.home) as wh:
        assert wh.rows("SELECT * FROM core_alias") == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"vehicle": "CP7"}, {"alias": "CP7"}], "names a vehicle that has a row of its own above"),
        ([{"alias": "CP7"}, {"vehicle": "CP7"}], "is another one's alias"),
        ([{"alias": "CP7"}, {"vehicle": "CAR2", "alias": "CP7"}], "names an alias of another vehicle"),
    ],
)
def test_one_name_is_of_one_vehicle(tmp_path: Path, rows: list[dict[str, str]], said: str) -> None:
    home = Settings(home=tmp_path / "home")
    done = register_fleet(home, fleet(tmp_path / "f.csv", *(BASE | row for row in rows)))
    assert (done.rows_loaded, done.rows_rejected) == (1, 1)
    with open_warehouse(home.home) as wh:
        ((detail, raw),) = wh.rows("SELECT detail, raw_text FROM raw_reject")
    assert said in detail
    assert "CP7" not in raw


def test_forgetting_takes_the_aliases_too(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    car, charger = (hash_id(home.home, name) for name in ("CAR1", "CP7"))
    register_fleet(home, fleet(tmp_path / "f.csv", BASE | {"alias": "CP7"}))
    ingest(home, list(logs(tmp_path)), "fadecast_samples")
    done = forget(home, "CP7")
    assert (done.vehicle_id, done.parts, done.records) == (car, 3, 6)
    assert [search(home.home, name)[2] for name in (car, charger)] == [[], []]
    late = tmp_path / "late.csv"
    late.write_text(SAMPLES + "CP7,2024-05-02T19:00:00Z,s2,charge,,,50,,,7.0,\n")
    assert ingest(home, [late], "fadecast_samples")[0].rows_forgotten == 1
    assert failed(home.home) == []
