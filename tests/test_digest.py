"""The digest: the same content gives the same hashes in any home and order, any change another one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.settings import Settings
from pipelines.steps.intake import ingest
from warehouse.digest import LEFT_OUT, digest_home, frame_hash
from warehouse.keys import write_demo_key
from warehouse.store import WarehouseError, open_warehouse

HEAD = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km\n"


def _home(folder: Path, order: tuple[str, ...]) -> Path:
    write_demo_key(folder / "home", 3)
    for name in order:
        rows = "".join(f"{name},2024-05-0{d}T10:00:00Z,1,drive,350,-20,5{d},21,15,,\n" for d in (2, 1, 3))
        (folder / f"{name}.csv").write_text(HEAD + rows)
        ingest(Settings(home=folder / "home"), [folder / f"{name}.csv"], "fadecast_samples")
    return folder / "home"


def test_the_same_content_is_identical_in_any_home_and_order(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = _home(tmp_path / "one", ("A", "B")), _home(tmp_path / "two", ("B", "A"))
    first = digest_home(one)
    assert first == digest_home(two)
    assert set(first) >= {"samples", "pages", "meta_file", "core_vehicle"}
    assert not set(first) & set(LEFT_OUT)


def test_every_change_shows_where_it_is(tmp_path: Path) -> None:
    home = _home(tmp_path, ("A",))
    before = digest_home(home)
    run = {"run_id": "r", "started_utc": datetime(2024, 1, 1), "status": "done"}
    with open_warehouse(home) as wh:
        schema = wh.registry.schema("meta_run")
        wh.append("meta_run", pl.DataFrame([dict.fromkeys(schema) | run], schema=schema))
    assert digest_home(home) == before, "the run's clock does not count"
    pages = home / "published" / "r1" / "pages"
    pages.mkdir(parents=True)
    (home / "current").symlink_to("published/r1")
    (home / "pages").symlink_to("current/pages")
    (pages / "a.html").write_text("x")
    after = digest_home(home)
    assert {name for name in before if before[name] != after[name]} == {"pages"}
    with open_warehouse(home) as wh:
        wh.con.execute("UPDATE meta_file SET rows_loaded = 4")
    last = digest_home(home)
    assert {name for name in before if last[name] != after[name]} == {"meta_file"}
    with pytest.raises(WarehouseError, match="There is no warehouse"):
        digest_home(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"x": ["ab", "c"]}, {"x": ["a", "bc"]}),
        ({"x": [None, ""]}, {"x": ["", None]}),
        ({"x": [[1.0], [2.0]]}, {"x": [[1.0, 2.0], []]}),
        ({"x": [1.0]}, {"x": [1.0 + 2**-52]}),
        ({"x": [1]}, {"x": [True]}),
        ({"x": [1]}, {"y": [1]}),
    ],
)
def test_frames_that_differ_have_other_hashes(a: dict[str, list[object]], b: dict[str, list[object]]) -> None:
    assert frame_hash(pl.DataFrame(a)) != frame_hash(pl.DataFrame(b))
    assert frame_hash(pl.DataFrame(a)) == frame_hash(pl.DataFrame(a))
