"""Every kind of published page on phones of 360 and 390 px, in a window between and at a desk: no text is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipelines.settings import Settings
from pipelines.steps.pages import page_bytes
from reports.rows import VehicleData
from warehouse.store import open_warehouse

CHROMIUM = Path("/usr/bin/chromium")
KINDS = {"index", "vehicles", "models", "data", "dictionary", "law", "driver"}
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
]

# Each text must lie inside the window and inside every ancestor that hides what sticks out. One that scrolls sideways
# may hold more, where it says so in a sentence that is seen and can be reached by keyboard. Labels that the style
# sheet puts before a cell have no box of their own: the cell must not be wider inside than outside.
FAULTS = """() => {
  const wide = document.documentElement.clientWidth, found = [], said = t => t.trim().slice(0, 70);
  const says = a => /auto|scroll/.test(getComputedStyle(a).overflowX) && a.tabIndex >= 0 &&
    /sideways/.test(a.previousElementSibling?.checkVisibility() ? a.previousElementSibling.textContent : '');
  const hides = new Map();  // an element: its nearest ancestors that hide what sticks out, itself among them
  const hiding = a => {
    if (a === document.documentElement) return [];
    if (!hides.has(a)) {
      const s = getComputedStyle(a), inline = s.display === 'inline' && a.tagName !== 'svg';
      const own = inline || s.overflowX === 'visible' ? [] : [[a, a.getBoundingClientRect()]];
      hides.set(a, [...own, ...hiding(a.parentElement)]);
    }
    return hides.get(a);
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, e = node.parentElement;
    if (!node.data.trim() || !e.checkVisibility() || e.closest('title, desc, .skip, .stacked thead')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const boxes = e.closest('svg') ? [e.getBoundingClientRect()] : [...range.getClientRects()];
    for (const b of boxes.filter(b => b.width >= 1 && b.height >= 1)) {
      let out = b.right > wide + 1 || b.left < -1 ? 'the window' : '';
      for (const [a, c] of hiding(e)) {
        if (b.right <= c.right + 1 && b.left >= c.left - 1 && b.bottom <= c.bottom + 3 && b.top >= c.top - 3) continue;
        out = says(a) ? '' : a.tagName + '.' + (a.className.baseVal ?? a.className);
        break;
      }
      if (out) found.push(`"${said(node.data)}" leaves ${out} by ${Math.round(b.right - wide)} px of the window`);
    }
  }
  for (const e of document.querySelectorAll('[data-label]'))
    if (e.checkVisibility() && e.scrollWidth > e.clientWidth + 1) found.push(`"${e.dataset.label}" is cut`);
  const all = document.documentElement.scrollWidth;
  return all > wide ? [`the page is ${all} px wide`, ...found] : found;
}"""

COVERED = """() => [...document.querySelectorAll('svg')].filter(s => s.checkVisibility()).flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].map(e => [e.textContent, e.getBoundingClientRect()]);
  return texts.flatMap(([a, p], i) => texts.slice(i + 1).filter(([, q]) =>
    Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 &&
    Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 3).map(([b]) => `"${a}" and "${b}"`));
})"""

# A number in a dot stands on the dot; all other text on the nearest background.
FAINT = """() => {
  const linear = x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
  const light = c => c.match(/[\\d.]+/g).slice(0, 3).map(x => linear(x / 255))
    .reduce((sum, x, i) => sum + x * [.2126, .7152, .0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (c !== 'rgba(0, 0, 0, 0)') return c;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('title, desc') &&
    [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).flatMap(e => {
      const style = getComputedStyle(e), dot = e.classList.contains('index') ? e.previousElementSibling : null;
      const below = dot ? getComputedStyle(dot).fill : ground(e);
      const pair = [light(e.closest('svg') ? style.fill : style.color), light(below)];
      const ratio = (Math.max(...pair) + .05) / (Math.min(...pair) + .05);
      return ratio < 4.5 ? [`"${e.textContent.trim().slice(0, 40)}" ${e.tagName} ${ratio.toFixed(2)}`] : [];
    });
}"""


def _long(v: VehicleData) -> VehicleData:
    """The same vehicle with the longest figures that a page may have to show."""
    warranties = tuple(
        replace(
            w,
            breach_frac=0.64,
            breach_by_fade_frac=0.127,
            breach_by_cover_frac=-0.101,
            breach_by_fade_low_frac=-0.231,
            breach_by_fade_high_frac=0.204,
            fade_by_export_low_pp=-12.3,
            fade_by_export_high_pp=14.5,
        )
        for w in v.warranties
    )
    forecasts = tuple(
        replace(f, diff_p10_pp=f.diff_p10_pp - 11.0, diff_p90_pp=f.diff_p90_pp + 12.0) for f in v.forecasts
    )
    values = tuple(replace(x, currency="NOK", value_money=478_123.0, value_high_money=561_234.0) for x in v.values)
    return replace(v, warranties=warranties, forecasts=forecasts, values=values)


@pytest.fixture(scope="module")
def published(page_rows: ModuleType, page_home: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One page of every kind as the night publishes it, and all cards of laws."""
    home = tmp_path_factory.mktemp("layout")
    data = page_rows.fleet(4, years=10)
    data = replace(data, vehicles=tuple(_long(v) if i % 2 else v for i, v in enumerate(data.vehicles)))
    with open_warehouse(home) as wh:
        page_home.fill(wh, data)
        pages = dict(page_bytes(wh, Settings(home=home)))
    out: list[Path] = []
    for name, body in pages.items():
        out.append(home / "shown" / name)
        out[-1].parent.mkdir(parents=True, exist_ok=True)
        out[-1].write_bytes(body)
    kinds = {"driver" if p.parent.name == "driver" else p.stem.split("_")[0] for p in out}
    assert kinds == KINDS  # a new kind of page comes in by itself and is named here
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as p:
        args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        running = p.chromium.launch(executable_path=str(CHROMIUM), args=args)
        yield running
        running.close()


@pytest.mark.parametrize("width", [390, *(pytest.param(w, marks=pytest.mark.slow) for w in (360, 700, 1280))])
def test_no_text_is_cut_off(browser: Any, published: list[Path], width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    faults: dict[str, list[str]] = {}
    try:
        for path in published:
            page.goto(path.as_uri())
            found = page.evaluate(FAULTS)
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            found += page.evaluate(FAULTS) + [f"{x} cover each other" for x in page.evaluate(COVERED)]
            if found:
                faults[path.name] = found[:5]
    finally:
        page.close()
    assert faults == {}


def test_what_is_cut_off_is_found(browser: Any, tmp_path: Path) -> None:
    narrow = '<div style="width:5em;white-space:nowrap;overflow-x:{}"{}>more than five letters</div>'
    cases = {
        narrow.format("auto", ""): 1,
        narrow.format("hidden", ""): 1,
        f"<p>Moves sideways.</p>{narrow.format('auto', ' tabindex=0')}": 0,
        f"<p>Moves sideways.</p>{narrow.format('hidden', ' tabindex=0')}": 1,
        f"<p>Moves sideways.</p>{narrow.format('auto', '')}": 1,
        '<svg viewBox="0 0 90 9" width="90"><text x="80" y="8">long</text></svg>': 1,
        '<p style="white-space:nowrap">' + "wide " * 99 + "</p>": 2,
        "<p>" + "narrow " * 99 + "</p>": 0,
    }
    page = browser.new_page(viewport={"width": 390, "height": 844})
    try:
        for body, count in cases.items():
            page.set_content(body)
            assert len(page.evaluate(FAULTS)) == count, body
        page.set_content('<svg><text x="9" y="20">one</text><text x="12" y="22">two</text></svg>')
        assert page.evaluate(COVERED) == ['"one" and "two"']
    finally:
        page.close()


@pytest.mark.slow
def test_print_shows_what_is_folded_and_cuts_nothing(browser: Any, published: list[Path]) -> None:
    page = browser.new_page(viewport={"width": 680, "height": 1000})  # A4 with the margins that a browser gives it
    seen = "[...document.querySelectorAll('.inside')].filter(e => e.getBoundingClientRect().height > 20).length"
    try:
        page.emulate_media(media="print")
        for path in published:
            page.goto(path.as_uri())
            folded = page.locator("details:not([open])").count()
            assert page.evaluate(seen) == page.locator("details").count(), path.name
            assert folded or path.stem not in ("index", "dictionary")
            assert page.evaluate(FAULTS) == [], path.name
    finally:
        page.close()


@pytest.mark.slow
def test_links_within_a_page_open_what_is_folded(browser: Any, published: list[Path]) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    followed = 0
    try:
        for path in published:
            page.goto(path.as_uri())
            for anchor in page.evaluate("[...document.querySelectorAll('main a[href^=\"#\"]')].map(a => a.hash)"):
                page.goto(path.as_uri() + anchor)
                box = page.locator(anchor).bounding_box()
                assert box is not None and box["height"] > 20 and -1 < box["y"] < 844, (path.name, anchor, box)
                followed += 1
    finally:
        page.close()
    assert followed >= 9


def test_the_front_page_answers_on_the_first_screens_of_a_phone(browser: Any, published: list[Path]) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    try:
        page.goto(next(p for p in published if p.stem == "index").as_uri())
        questions = page.locator("#minute dt").all()
        assert len(questions) >= 4
        for question in questions[:4]:  # who, how sure, how much due to export, which cap
            assert question.bounding_box()["y"] < 2 * 844, question.inner_text()
        assert page.locator("#risk tbody tr").first.bounding_box()["y"] < 3 * 844
        assert page.evaluate("document.documentElement.scrollHeight") < 12 * 844
    finally:
        page.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(browser: Any, published: list[Path], scheme: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    laws = [p for p in published if p.stem.startswith("law_")][2:]
    try:
        for path in (p for p in published if p not in laws):
            page.goto(path.as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert page.evaluate(FAINT) == [], path.name  # WCAG 2.1, 1.4.3
    finally:
        page.close()
