"""Pages in a real browser: a phone of 390 px and a desktop of 1280 px, folded and unfolded, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reports import driver, fleet, fleet_data, fleet_models
from reports.blocks import Page
from reports.render import render_page
from reports.rows_fleet import ColumnDoc, TableDoc

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as p:
        args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        running = p.chromium.launch(executable_path=str(CHROMIUM), args=args)
        yield running
        running.close()


@pytest.fixture(scope="module")
def files(page_rows: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    f = page_rows.fleet(30)
    long = TableDoc(
        "out_x", (ColumnDoc("a_rather_long_name_money_per_kwh", "DOUBLE", "currency/kWh", "m " * 60),), 1, True
    )
    pages: dict[str, Page] = {
        "measured": driver.driver_page(page_rows.vehicle(9, label="A rather long name of a car type " * 3)),
        "inferred": driver.driver_page(page_rows.vehicle(7, "inferred", False)),
        "index": fleet.index_page(f),
        "vehicles": fleet.vehicles_page(f),
        "models": fleet_models.models_page(f),
        "data": fleet_data.data_page(f),
        "dictionary": fleet_data.dictionary_page((long,)),
    }
    out: dict[str, Path] = {}
    for name, page in pages.items():
        out[name] = folder / f"{name}.html"
        out[name].write_bytes(render_page(page))
    return out


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_and_nothing_is_fetched(browser: Any, files: dict[str, Path], width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme="dark" if width == 390 else "light")
    fetched: list[str] = []
    problems: list[str] = []
    page.on("request", lambda r: fetched.append(r.url))
    page.on("console", lambda m: problems.append(m.text))
    try:
        for name, path in files.items():
            page.goto(path.as_uri())
            for _ in ("folded", "unfolded"):
                wide = page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (name, wide)
                page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            small = page.evaluate(
                "Math.min(99, ...[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height))"
            )
            assert small >= 10, (name, small)
    finally:
        page.close()
    assert sorted(set(fetched)) == sorted(p.as_uri() for p in files.values())
    assert problems == []


def test_a_driver_sees_the_headline_without_scrolling(browser: Any, files: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    try:
        page.goto(files["measured"].as_uri())
        box = page.locator("h1").bounding_box()
        assert box["y"] + box["height"] < 500
        assert page.locator("svg").first.bounding_box()["y"] < 844
        assert page.locator("summary").first.bounding_box()["height"] >= 40
        headings = page.locator("h2").all_inner_texts()
        assert headings[1].startswith("Recommended")
        assert page.evaluate("document.documentElement.lang") == "en"
    finally:
        page.close()


def test_charts_have_names_for_those_who_cannot_see_them(browser: Any, files: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    try:
        page.goto(files["index"].as_uri())
        charts = page.get_by_role("img").all()
        assert len(charts) >= 4
        assert page.get_by_role("table").count() >= 2
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.get_by_role("table").count() >= 6
        assert page.get_by_role("img", name="Capacity against age").count() == 1
    finally:
        page.close()
