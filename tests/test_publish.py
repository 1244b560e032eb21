"""Publication: one rename, hard links, nothing new no publication, a deleted page comes back, two are kept."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import duckdb
import pytest

from pipelines.settings import Settings
from pipelines.steps import publish as step
from pipelines.steps.pages import NOT_SERVED, load_fleet, page_bytes
from reports.fleet_data import QUERIES
from reports.render import PageError
from warehouse.digest import digest_pages
from warehouse.store import Warehouse, open_warehouse


@pytest.fixture(scope="module")
def template(page_rows: ModuleType, page_home: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse filled once; each test works on a copy."""
    home = tmp_path_factory.mktemp("template")
    with open_warehouse(home) as wh:
        page_home.fill(wh, page_rows.fleet(4, years=1))
    return home / "warehouse.duckdb"


@pytest.fixture
def filled(tmp_path: Path, template: Path) -> Iterator[tuple[Warehouse, Settings]]:
    home = tmp_path / "ho'me"
    home.mkdir()
    shutil.copy(template, home)
    with open_warehouse(home) as wh:
        yield wh, Settings(home=home)


@pytest.fixture(scope="module")
def pages_of_it(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The pages of that warehouse, by name."""
    home = tmp_path_factory.mktemp("pages") / "ho'me"
    home.mkdir()
    shutil.copy(template, home)
    with open_warehouse(home) as wh:
        return dict(page_bytes(wh, Settings(home=home)))


@pytest.fixture(scope="module")
def published_once(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of that warehouse with its first publication, n1."""
    home = tmp_path_factory.mktemp("published") / "ho'me"
    home.mkdir()
    shutil.copy(template, home)
    with open_warehouse(home) as wh:
        assert step.publish(wh, Settings(home=home), "n1") == "n1"
    return home


@pytest.fixture
def published(tmp_path: Path, published_once: Path) -> Iterator[tuple[Warehouse, Settings]]:
    """A copy of it: its links lead into itself."""
    home = tmp_path / "ho'me"
    shutil.copytree(published_once, home, symlinks=True)
    assert (home / "serving.duckdb").resolve().is_relative_to(home.resolve())
    with open_warehouse(home) as wh:
        yield wh, Settings(home=home)


def _tree(home: Path) -> dict[str, bytes]:
    pages = home / "pages"
    return {str(p.relative_to(pages)): p.read_bytes() for p in sorted(pages.rglob("*.html"))}


def test_loading_fills_what_pages_show(filled: tuple[Warehouse, Settings]) -> None:
    wh, settings = filled
    data = load_fleet(wh, settings)
    v = data.vehicles[0]
    assert len(data.vehicles) == 4
    assert v.contract is not None
    assert v.contract.floor_frac == 0.7
    assert v.vehicle_label == "Compact car of the demo, 58 kWh net, NMC811"
    assert v.sessions.export == 1
    assert v.sessions.drive_inferred == 1
    assert sum(v.habits.soc_hours) == sum(v.habits.temp_hours) == 48
    assert v.habits.temp_hours == (10, 10, 10, 10, 8)
    assert v.habits.measured_hours == 16
    assert v.cohort_soh == ()
    assert set(v.law_labels) >= {"sei_ec", "sei_interstitial"}
    assert [k.as_of_day for k in data.kpis] == [data.as_of_day] * len(data.kpis)
    assert not data.simulated
    assert {r.rule for r in data.rules} >= {"bad_number"}


def test_first_publication_then_none_then_a_deleted_page_comes_back(filled: tuple[Warehouse, Settings]) -> None:
    wh, settings = filled
    home = settings.home
    assert step.publish(wh, settings, "night-1") == "night-1"
    assert (home / "current").readlink() == Path("published/night-1")
    assert (home / "pages").readlink() == Path("current/pages")
    before = _tree(home)
    assert sorted(before)[:5] == [f"driver/v{i:012x}.html" for i in range(4)] + ["fleet/data.html"]
    assert {"fleet/index.html", "fleet/models.html", "fleet/dictionary.html", "fleet/vehicles.html"} <= set(before)
    (home / "pages" / "driver" / "v000000000002.html").unlink()
    (home / "pages" / "fleet" / "index.html").write_text("changed by hand")
    damaged = digest_pages(home)
    assert step.publish(wh, settings, "night-2") is None
    assert _tree(home) == before
    assert digest_pages(home) != damaged
    assert sorted(p.name for p in (home / "published").iterdir()) == ["night-1"]


def test_what_changed_is_new_what_did_not_is_a_hard_link(published: tuple[Warehouse, Settings]) -> None:
    wh, settings = published
    pages = settings.home / "pages"
    old = {p.name: p.stat().st_ino for p in (pages / "driver").iterdir()}
    wh.con.execute("UPDATE out_vehicle_state SET soh_frac = 0.5, soh_low_frac = 0.4 WHERE vehicle_id = 'v000000000001'")
    assert step.publish(wh, settings, "n2") == "n2"
    new = {p.name: p.stat().st_ino for p in (pages / "driver").iterdir()}
    assert {n for n in old if old[n] != new[n]} == {"v000000000001.html"}
    wh.con.execute("UPDATE out_member SET weight = weight + 1e-12")  # shown on no page, but served
    assert step.publish(wh, settings, "n3") == "n3"
    wh.con.execute("INSERT INTO meta_run (run_id) VALUES ('n3')")
    wh.con.execute("INSERT INTO meta_state VALUES ('fleet', 'night', 'x')")
    assert step.publish(wh, settings, "n4") is None
    assert sorted(p.name for p in (settings.home / "published").iterdir()) == ["n2", "n3"]


def test_a_run_published_twice_and_a_killed_night(filled: tuple[Warehouse, Settings]) -> None:
    wh, settings = filled
    root = settings.home / "published"
    (root / ".n0.part" / "pages").mkdir(parents=True)
    assert step.publish(wh, settings, "n1") == "n1"
    assert not (root / ".n0.part").exists()
    wh.con.execute("UPDATE out_member SET weight = 1")
    assert step.publish(wh, settings, "n1") == "n1-2"
    assert step.current(settings.home) == settings.home / "published" / "n1-2"


def test_a_page_that_fails_leaves_the_last_publication(published: tuple[Warehouse, Settings]) -> None:
    wh, settings = published
    before = _tree(settings.home)
    for table in ("core_vehicle", "out_vehicle_state"):
        wh.con.execute(f"UPDATE {table} SET vehicle_id = '../../x' WHERE vehicle_id = 'v000000000003'")
    with pytest.raises(PageError, match="no safe file name"):
        step.publish(wh, settings, "n2")
    assert _tree(settings.home) == before


def test_serving_copy_has_the_tables_and_answers_the_dictionary(published: tuple[Warehouse, Settings]) -> None:
    wh, settings = published
    path = (settings.home / "serving.duckdb").resolve()
    with duckdb.connect(str(path), read_only=True) as con:
        tables = {r[0] for r in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert tables == set(step.served_tables(wh))
        assert not tables & set(NOT_SERVED)
        assert {"core_vehicle", "core_session", "out_warranty", "meta_file", "meta_run"} <= tables
        said = con.execute(
            "SELECT comment FROM duckdb_columns() WHERE table_name = 'out_forecast' AND column_name = 'soh_p50'"
        ).fetchone()
        assert said == ("[1] Median",)
        for _, sql in QUERIES:
            assert con.execute(sql).fetchall()
    for table in step.served_tables(wh):
        assert step.table_version(wh, table) == step.table_version(wh, table)


def test_pages_are_the_same_in_any_order_of_rows_and_have_no_clock(
    filled: tuple[Warehouse, Settings], pages_of_it: dict[str, bytes]
) -> None:
    wh, settings = filled
    first = pages_of_it
    for table in ("out_forecast", "out_warranty", "out_vehicle_state", "core_duty_step", "meta_kpi", "core_vehicle"):
        wh.con.execute(f"CREATE OR REPLACE TEMP TABLE shuffled AS SELECT * FROM {table} t ORDER BY hash(t)")
        wh.con.execute(f"DELETE FROM {table}")
        wh.con.execute(f"INSERT INTO {table} SELECT * FROM shuffled")
    assert dict(page_bytes(wh, settings)) == first
    for body in first.values():
        assert not re.search(rb"\d\d:\d\d:\d\d", body)


def test_demo_homes_are_marked_by_their_file(filled: tuple[Warehouse, Settings], pages_of_it: dict[str, bytes]) -> None:
    wh, settings = filled
    assert b"simulated" not in pages_of_it["fleet/index.html"].split(b"</header>")[0]
    (settings.home / "demo.json").write_text("{}")
    pages = dict(page_bytes(wh, settings))
    assert b"simulated" in pages["fleet/index.html"].split(b"</header>")[0]
    assert b"simulated" in pages["driver/v000000000000.html"].split(b"</header>")[0]
