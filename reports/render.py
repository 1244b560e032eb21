"""Pages to bytes: Jinja2 with StrictUndefined and autoescape; the same view gives the same bytes."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup

from reports.blocks import Page

MAX_DRIVER_BYTES = 80_000
_VEHICLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class PageError(ValueError):
    """A page cannot be made; one sentence names the vehicle and what was expected."""


def page_name(vehicle_id: str) -> str:
    """File name of a vehicle's page.

    Raises
    ------
    PageError
        The id could leave the folder or is not a plain name.

    Examples
    --------
    >>> page_name("v0123456789ab")
    'v0123456789ab.html'
    """
    if not _VEHICLE_ID.fullmatch(vehicle_id):
        raise PageError(f"Vehicle id {vehicle_id!r} is no safe file name; expected letters, digits, '_' and '-'.")
    return f"{vehicle_id}.html"


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    folder = files("reports") / "templates"
    templates = {f.name: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name.endswith(".j2")}
    env = jinja2.Environment(
        loader=jinja2.DictLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.globals["style"] = Markup(_style((folder / "style.css").read_text(encoding="utf-8")))  # noqa: S704 - our own file
    return env


def _style(css: str) -> str:
    """Style sheet without comments and line ends: it stands on every page."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.S)
    css = re.sub(r"\s+", " ", css)
    return re.sub(r"\s*([{};,>])\s*", r"\1", css).replace(";}", "}").strip()


def render_page(page: Page) -> bytes:
    """A page as UTF-8 bytes; no clock, no randomness, blank lines squeezed."""
    html = _environment().get_template("page.html.j2").render(page=page)
    lines = (line.strip() for line in html.splitlines())
    return ("\n".join(line for line in lines if line) + "\n").encode("utf-8")


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file by a rename, so that a reader sees the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
