"""``fadecast demo``: simulate a fleet's logs, take them in, run a night, tell how well the hidden truth was found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from models.synthetic import Fleet, SimulatedCar, fleet_of, simulate, specs_of, try_car
from models.synthetic_score import DRIVEN_POLICY, Found, as_json, score
from models.synthetic_truth import run_archetype
from pipelines.computing import processes, told_when_ended
from pipelines.demo_files import TRUTH, DemoFiles, files_of, sha256_of, write_files
from pipelines.errors import UserError
from pipelines.settings import Settings
from warehouse.disk import check_writable, writing
from warehouse.intake import FileResult
from warehouse.keys import demo_files, hash_ids, write_demo_key, write_demo_marker
from warehouse.store import open_warehouse

Night = Callable[[Settings], object]
SOLVERS = 2


@dataclass(frozen=True)
class DemoResult:
    """What a demo did: its files, what became of them, how well the truth was found, and where the pages are."""

    files: DemoFiles
    intake: tuple[FileResult, ...]
    found: tuple[Found, ...]
    pages: Path


def simulate_fleet(vehicles: int, days: int, seed: int, workers: int) -> tuple[Fleet, list[SimulatedCar]]:
    """Plan a fleet and let every car live; archetypes are solved in processes of their own meanwhile.

    Results come in the order of archetypes and cars, whoever is ready first.
    """
    fleet = fleet_of(vehicles, days, seed)
    specs = specs_of(fleet)
    with (
        told_when_ended(),
        processes(min(SOLVERS, max(1, workers))) as solvers,
        ThreadPoolExecutor(max_workers=workers) as pool,
    ):
        solved = [solvers.submit(run_archetype, spec) for spec in specs]
        trials = list(pool.map(lambda k: try_car(fleet, k), range(vehicles)))
        archetypes = {spec: future.result() for spec, future in zip(specs, solved, strict=True)}
        return fleet, list(pool.map(lambda k: simulate(fleet, k, archetypes, trials[k]), range(vehicles)))


def _wanted(settings: Settings, vehicles: int, days: int, seed: int) -> DemoFiles | None:
    """The files of the same demo when they are there, unchanged.

    Raises
    ------
    UserError
        The home holds something else.
    """
    home = settings.home
    marked = demo_files(home)
    if marked is None:
        if any(home.glob("*.duckdb")) or (home / "raw").exists():
            raise UserError(f"{home} holds logs that are not a demo's; give the demo a home of its own with --home.")
        return None
    truth = home / TRUTH / "truth.json"
    body = json.loads(truth.read_text(encoding="utf-8")) if truth.is_file() else {}
    if body and tuple(body[k] for k in ("vehicles", "days", "seed")) != (vehicles, days, seed):
        raise UserError(
            f"{home} holds a demo of {body['vehicles']} vehicles, {body['days']} days, seed {body['seed']}; "
            "remove the folder, or give this one another --home."
        )
    files = files_of(home)
    return files if files is not None and {sha256_of(p) for p in files.all} == set(marked) else None


def simulate_files(settings: Settings, vehicles: int, days: int, seed: int) -> DemoFiles:
    """Write the simulated logs into a home and mark it as a demo's (key from the seed, hashes of its files).

    Raises
    ------
    UserError
        The home holds other logs or another demo.
    """
    there = _wanted(settings, vehicles, days, seed)
    if there is not None:
        return there
    check_writable(settings.home)  # before minutes of simulation
    fleet, sims = simulate_fleet(vehicles, days, seed, settings.workers)
    with writing(settings.home):
        write_demo_key(settings.home, seed)
        files = write_files(settings.home, fleet, sims, days)
        write_demo_marker(settings.home, seed, [sha256_of(p) for p in files.all])
    return files


def take_in(settings: Settings, files: DemoFiles) -> tuple[FileResult, ...]:
    """Take in the surroundings, register the fleet, then take in the logs.

    Raises
    ------
    UserError
        A file was refused.
    """
    from pipelines.steps.intake import ingest, register_fleet

    names = list(files.by_format)
    first = names.index("fadecast_sessions")
    results: list[FileResult] = []
    for name in names[:first]:
        results += ingest(settings, list(files.by_format[name]), name)
    results.append(register_fleet(settings, files.fleet))
    for name in names[first:]:
        results += ingest(settings, list(files.by_format[name]), name)
    refused = [r for r in results if r.status == "refused"]
    if refused:
        raise UserError(f"The simulated file {refused[0].path} was refused: {refused[0].error}", exit_code=1)
    return tuple(results)


def score_home(settings: Settings) -> tuple[Found, ...]:
    """Compare what the night published with the hidden truth; written to ``truth/score.json``."""
    truth_path = settings.home / TRUTH / "truth.json"
    cars: list[dict[str, Any]] = json.loads(truth_path.read_text(encoding="utf-8"))["cars"]
    ids = hash_ids(settings.home, [car["vehicle"] for car in cars])
    with open_warehouse(settings.home) as wh:
        state = wh.read("SELECT * FROM out_vehicle_state ORDER BY vehicle_id").to_dicts()
        forecast = wh.read(
            "SELECT * FROM out_forecast WHERE policy_id = ? ORDER BY vehicle_id, year", [DRIVEN_POLICY]
        ).to_dicts()
    found = score(
        [{**car, "vehicle_id": ids[car["vehicle"]]} for car in cars],
        {row["vehicle_id"]: row for row in state},
        {(row["vehicle_id"], int(row["year"])): row for row in forecast},
    )
    temporary = truth_path.with_name(f"score.json.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(as_json(found), indent=1) + "\n", encoding="utf-8")
    temporary.replace(truth_path.with_name("score.json"))
    return tuple(found)


def intake_table(results: Sequence[FileResult]) -> Table:
    """Rows of every file: read, loaded, rejected, duplicate."""
    table = Table(title="Taken in", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("file")
    table.add_column("status")
    for name in ("read", "loaded", "rejected", "duplicate"):
        table.add_column(name, justify="right")
    for r in results:
        counts = (r.rows_read, r.rows_loaded, r.rows_rejected, r.rows_duplicate)
        table.add_row(Path(r.path).name, r.status, *(f"{n:,}" for n in counts))
    return table


def score_table(found: Sequence[Found]) -> Table:
    """How well the truth was found, one row a comparison."""
    table = Table(
        title="Against the hidden truth, percentage points of capacity",
        caption="in 80 %: truth inside the interval; clear: the interval leaves out zero",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("what", no_wrap=True)
    for name in ("cars", "truth", "RMS", "bias", "in 80 %", "sign ok", "clear", "wrong"):
        table.add_column(name, justify="right", no_wrap=True)

    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.0f}%"

    for f in found:
        table.add_row(
            f.name,
            str(f.n),
            f"{f.truth_mean_pp:.2f}",
            f"{f.rmse_pp:.2f}",
            f"{f.bias_pp:+.2f}",
            percent(f.inside_80_frac),
            *(percent(v) for v in (f.sign_right_frac, f.clear_frac, f.clear_wrong_frac)),
        )
    return table


def run_demo(
    settings: Settings, vehicles: int, days: int, seed: int, night: Night, console: Console | None = None
) -> DemoResult:
    """Simulate, take in, run a night, score.

    Parameters
    ----------
    settings
        Its home becomes a demo's.
    vehicles, days, seed
        Size of the fleet, days of logs, seed of everything. [1], [d]
    night
        Runs a night on the settings' home.
    console
        Where to report.

    Raises
    ------
    UserError
        The home holds other logs, or a simulated file was refused.
    """
    out = console or Console(stderr=True)
    begun = perf_counter()
    with out.status(f"Simulating {vehicles} vehicles, {days} days (hidden truth by PyBaMM)..."):
        files = simulate_files(settings, vehicles, days, seed)
    lines = files.rows["samples"] + files.rows["sessions"]
    out.print(f"Simulated {vehicles} vehicles, {lines:,} log lines in {perf_counter() - begun:.0f} s.", highlight=False)
    begun = perf_counter()
    results = take_in(settings, files)
    out.print(intake_table(results))
    out.print(f"Taken in within {perf_counter() - begun:.0f} s.", highlight=False)
    night(settings)
    found = score_home(settings)
    out.print(score_table(found))
    pages = settings.home / "pages"
    out.print(f"Pages are at {pages / 'fleet' / 'index.html'} and {pages / 'driver'}.", highlight=False, soft_wrap=True)
    return DemoResult(files, results, found, pages)
