"""Take files in; register vehicles and homes; propose a fleet file from logs."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from pipelines.errors import UserError
from pipelines.settings import Settings
from warehouse import fleetfile, intake, proposal
from warehouse.fleetfile import FleetResult
from warehouse.forget import unfinished
from warehouse.formatspec import FormatError, FormatSpec, load_format
from warehouse.intake import FileResult
from warehouse.keys import utf8_text
from warehouse.parts import sweep
from warehouse.proposal import Proposal
from warehouse.readers.lines import RefusedFile
from warehouse.readers.source import Source
from warehouse.store import Warehouse, WarehouseError, open_warehouse

__all__ = ["FileResult", "FleetResult", "Proposal", "ingest", "ingest_into", "propose_fleet", "register_fleet"]

_PROGRESS_FROM = 5  # files


def ingest(settings: Settings, paths: Iterable[Path], format_name_or_path: str | Path) -> list[FileResult]:
    """Take files in, one transaction each.

    Parameters
    ----------
    settings
        The home.
    paths
        Files, folders (all files below, hidden ones apart) or patterns (``logs/**/*.csv.gz``), in the order of names.
    format_name_or_path
        Name of a packaged format, or a TOML file.

    Returns
    -------
    list of FileResult
        One a file, refused ones too. `note` says which vehicles are not registered.

    Raises
    ------
    UserError
        The format is unknown or wrong; nothing was taken in.
    WarehouseError
        The warehouse cannot be opened, or the folders hold no files.
    """
    spec = _format(format_name_or_path)
    files = _found(list(paths))
    if not any(map(_readable, files)):
        # Nothing to take in: no home is made for the sake of saying so.
        return [FileResult(str(path), "", intake.REFUSED, error=_unreadable(path)) for path in files]
    with open_warehouse(settings.home) as wh:
        results = ingest_into(wh, files, spec)
        pending = unfinished(wh)
    if pending:
        from pipelines.steps.forget import finish_forgetting

        finish_forgetting(settings)
    return results


def ingest_into(wh: Warehouse, files: list[Path], spec: FormatSpec) -> list[FileResult]:
    """Take files into an open warehouse; parts that a killed run left behind are swept first."""
    sweep(wh)
    results: list[FileResult] = []
    with _progress(len(files)) as advance:
        for path in files:
            result = intake.take_in(wh, path, spec)
            results.append(replace(result, note=" ".join(filter(None, (result.note, _unregistered(wh, result))))))
            advance()
    return results


def register_fleet(settings: Settings, path: Path) -> FleetResult:
    """Register the vehicles and homes of a fleet file, through the same ledger as logs; see `warehouse.fleetfile`."""
    if not _readable(path):
        return FleetResult(str(path), "", intake.REFUSED, error=_unreadable(path))
    with open_warehouse(settings.home) as wh:
        sweep(wh)
        return fleetfile.register(wh, path)


def propose_fleet(
    settings: Settings, logs: Path | Iterable[Path], format_name_or_path: str | Path, out: Path | None = None
) -> Proposal:
    """Write a fleet file for the vehicles of logs by a written rule, every value marked assumed.

    Parameters
    ----------
    logs
        A log or several, folders and patterns too, as in `ingest`.

    Raises
    ------
    UserError
        The format is unknown or wrong.
    WarehouseError
        A log cannot be read, or the file not written.
    """
    spec = _format(format_name_or_path)
    files = _found([logs] if isinstance(logs, Path) else list(logs))
    for path in files:
        if not _readable(path):
            raise WarehouseError(f"{path}: {_unreadable(path)}")
    with open_warehouse(settings.home) as wh:
        return proposal.propose(wh, files, spec, out or settings.home / f"fleet_{spec.name}.csv")


def _format(format_name_or_path: str | Path) -> FormatSpec:
    try:
        return load_format(format_name_or_path)
    except FormatError as error:
        raise UserError(str(error)) from None


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK) and path.is_file()


def _unreadable(path: Path) -> str:
    """Why a file cannot be read, as the intake says it."""
    try:
        Source(path, None)
    except RefusedFile as error:
        return str(error)
    return "The file cannot be read; take it in again."  # it came meanwhile


def _found(paths: list[Path]) -> list[Path]:
    files = list(_files(paths))
    if not files:
        where = ", ".join(map(str, paths)) or "an empty list of paths"
        raise WarehouseError(f"No files found in {where}; check the path, and quote a pattern ('logs/**/*.csv').")
    return files


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        elif not path.exists() and glob.has_magic(str(path)):
            found = (Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207  pattern with a folder
            yield from sorted(p for p in found if p.is_file())
        else:
            yield path


def _unregistered(wh: Warehouse, result: FileResult) -> str:
    if result.status != intake.LOADED:
        return ""
    count = wh.scalar(
        "SELECT count(DISTINCT v.vehicle_id) FROM meta_part_vehicle v JOIN meta_part p USING (part_id)"
        " WHERE p.sha256 = ? AND v.vehicle_id NOT IN"
        " (SELECT vehicle_id FROM core_vehicle UNION SELECT alias_id FROM core_alias)",
        [result.sha256],
    )
    if not count:
        return ""
    name = utf8_text(Path(result.path).name)
    which, them = ("1 vehicle is", "it") if count == 1 else (f"{count} vehicles are", "them")
    return f"{name}: {which} not registered yet; `fadecast fleet` registers {them} (--propose helps)."


@contextmanager
def _progress(files: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error for long work; nothing for a few files or where nobody looks."""
    console = Console(stderr=True)
    if files < _PROGRESS_FROM or not console.is_terminal:
        yield lambda: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Taking files in", total=files)
        yield lambda: bar.advance(task)
