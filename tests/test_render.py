"""Rendering: deterministic bytes, escaped, self-contained, safe names, atomic writes."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest

from reports import render
from reports import text as t
from reports.blocks import Cell, Fact, Group, Page, Row, Section, Table

BAD = "<script>alert(1)</script>\"'&"


def _page(text: str = "plain") -> Page:
    table = Table(text, (text, text), (Group(text, (Row((Cell(text, text), Cell(text, href="a.html"))),)),))
    section = Section("s", text, lead=text, items=(text,), facts=(Fact(text, text, text, text),), tables=(table,))
    return Page(
        title=text, eyebrow=text, headline=text, lead=text, sections=(section,), footer=(text,), notices=(text,)
    )


def test_same_view_same_bytes_and_nothing_from_outside() -> None:
    body = render.render_page(_page())
    assert body == render.render_page(_page())
    text = body.decode()
    assert "<script" not in text
    assert not re.search(r"https?://|url\(|@import|\sstyle=|\son\w+=", text)
    assert '<html lang="en">' in text
    assert "width=device-width" in text
    assert "prefers-color-scheme:dark" in text


def test_hostile_strings_are_escaped_everywhere() -> None:
    text = render.render_page(_page(BAD)).decode()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_unknown_fields_fail_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render._environment().from_string("{{ page.nothing }}").render(page=_page())


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a" * 65, "x\n", "v1.html", "ä"])
def test_unsafe_vehicle_ids_are_refused(name: str) -> None:
    with pytest.raises(render.PageError, match="no safe file name"):
        render.page_name(name)


def test_write_atomic_replaces_and_leaves_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.html"
    render.write_atomic(path, b"one")
    other = tmp_path / "linked.html"
    other.hardlink_to(path)
    render.write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert other.read_bytes() == b"one"
    assert [p.name for p in path.parent.iterdir()] == ["x.html"]


def test_contrast_of_the_colours() -> None:
    """WCAG 2: at least 4.5 for text in both schemes."""
    css = (Path(render.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    schemes = [
        dict(re.findall(r"--([a-z0-9-]+):(#[0-9a-f]{6})", block)) for block in re.findall(r":root\{(.*?)\}", css)
    ]
    assert len(schemes) == 2
    for colours in schemes:
        for text in ("ink", "soft", "accent"):
            for ground in ("bg", "faint"):
                assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def _contrast(a: str, b: str) -> float:
    def light(c: str) -> float:
        parts = [int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "below 1 %"),
        (0.0049, "below 1 %"),
        (0.012, "1 %"),
        (0.5, "50 %"),
        (0.9951, "above 99 %"),
        (None, "not known"),
    ],
)
def test_chances_are_never_a_false_zero_or_hundred(value: float | None, shown: str) -> None:
    assert t.chance(value).replace(t.NBSP, " ") == shown


def test_unknown_numbers_never_show_as_nan() -> None:
    nan = float("nan")
    for said in (t.number(nan), t.percent(nan), t.money(nan, "EUR"), t.points_range(nan, 1.0), t.years(None)):
        assert said == "not known"
    assert t.number(-0.001, 1) == "0.0"
