"""The few things a page is built of. View models fill them; templates only lay them out, without arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

MANY_COLUMNS = 8


@dataclass(frozen=True)
class Fact:
    """One figure: label, value, its range, and what it rests on."""

    label: str
    value: str
    range: str = ""
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell: text, a smaller line below it, a link (built by us, never from a log)."""

    text: str
    sub: str = ""
    href: str = ""


@dataclass(frozen=True)
class Row:
    """A row; its first cell is the row's header."""

    cells: tuple[Cell, ...]
    strong: bool = False


@dataclass(frozen=True)
class Group:
    """Rows under a common heading (may be empty)."""

    heading: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """A table; ``stacked`` turns each row into a block on a phone; ``left`` names columns of words beside the first.

    ``wide`` marks one of few columns with words too long to break, such as hashes.
    """

    caption: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    stacked: bool = True
    text_columns: int = 1
    left: tuple[int, ...] = ()
    note: str = ""
    wide: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether it may need more room than a window between phone and desk has; it scrolls there, and says so."""
        return self.wide or len(self.columns) >= MANY_COLUMNS


@dataclass(frozen=True)
class Figure:
    """A chart with its caption."""

    chart: Markup
    caption: str = ""
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Detail:
    """Something folded away."""

    summary: str
    paragraphs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    code: tuple[str, ...] = ()
    open: bool = False
    key: str = ""


@dataclass(frozen=True)
class Section:
    """A section of a page."""

    key: str
    title: str
    lead: str = ""
    paragraphs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    details: tuple[Detail, ...] = ()
    answers: tuple[Fact, ...] = ()
    links: tuple[Cell, ...] = ()
    code: tuple[str, ...] = ()
    strong: bool = False


@dataclass(frozen=True)
class Page:
    """A whole page. ``notices`` stand above everything (simulated logs, no export in the logs)."""

    title: str
    eyebrow: str
    headline: str
    lead: str
    sections: tuple[Section, ...]
    notices: tuple[str, ...] = ()
    nav: tuple[Cell, ...] = ()
    footer: tuple[str, ...] = ()
    wide: bool = False
    lang: str = "en"
    figures: tuple[Figure, ...] = field(default_factory=tuple)


def rows(*cells: tuple[str, ...]) -> tuple[Row, ...]:
    """Plain rows of texts."""
    return tuple(Row(tuple(Cell(c) for c in r)) for r in cells)


def plain_table(
    caption: str,
    columns: tuple[str, ...],
    body: list[tuple[str, ...]],
    text_columns: int = 1,
    left: tuple[int, ...] = (),
) -> Table:
    """A table of texts without groups."""
    return Table(caption, columns, (Group("", rows(*body)),), text_columns=text_columns, left=left)
