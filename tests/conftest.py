"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from models.synthetic import Fleet, SimulatedCar

TINY_SEED, TINY_VEHICLES, TINY_DAYS = 3, 3, 40


def pytest_collection_finish() -> None:
    """What was imported stays: it need not be looked through at every collection of garbage in the tests."""
    gc.collect()
    gc.freeze()


def _beside(name: str) -> ModuleType:
    """A helper module of the tests (they are no package, so they cannot import each other)."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], list[str]]:
    """What to put before a command so that it sees a folder as a disk mounted for reading only.

    It begins with ``unshare -rm``, a mount namespace of its own, which some containers refuse.
    """

    def before(folder: Path) -> list[str]:
        mounts = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
        return ["unshare", "-rm", "sh", "-c", mounts, "sh", str(folder)]

    probe = [*before(tmp_path_factory.mktemp("locked")), "true"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs a mount namespace of its own (unshare -rm)")
    return before


_beside("evidence_rows")  # made ageing tests: several files import them by name


@pytest.fixture(scope="session")
def page_rows() -> ModuleType:
    """Hand-made rows of the out_ tables (``tests/page_rows.py``): plausible, seeded, for page tests only."""
    return _beside("page_rows")


@pytest.fixture(scope="session")
def page_home() -> ModuleType:
    """Writes such rows into a warehouse (``tests/page_home.py``)."""
    return _beside("page_home")


@pytest.fixture(scope="session")
def history_sim() -> ModuleType:
    """A simulated car with known capacity (``tests/history_sim.py``)."""
    return _beside("history_sim")


@pytest.fixture(scope="session")
def made_years() -> ModuleType:
    """Seeded years, packs and homes of dispatch tests (``tests/made_years.py``)."""
    return _beside("made_years")


@pytest.fixture(scope="session")
def plain_dispatch() -> ModuleType:
    """Dispatch and duty told plainly and slowly (``tests/plain_dispatch.py``)."""
    return _beside("plain_dispatch")


@pytest.fixture(scope="session")
def decide_rows() -> ModuleType:
    """A made-up vehicle with all that its decisions depend on (``tests/decide_rows.py``)."""
    return _beside("decide_rows")


@pytest.fixture(scope="session")
def tiny_fleet() -> tuple[Fleet, list[SimulatedCar]]:
    """Three simulated cars (two export, one does not), 40 days, with defects; truth from a formula, not PyBaMM."""
    from models.synthetic import fleet_of, simulate, specs_of
    from models.synthetic_truth import formula_archetype

    fleet = fleet_of(TINY_VEHICLES, TINY_DAYS, TINY_SEED)
    archetypes = {spec: formula_archetype(spec) for spec in specs_of(fleet)}
    return fleet, [simulate(fleet, k, archetypes) for k in range(TINY_VEHICLES)]


@pytest.fixture(scope="session")
def tiny_cars(tiny_fleet: tuple[Fleet, list[SimulatedCar]]) -> list[SimulatedCar]:
    """The cars of the tiny fleet alone."""
    return tiny_fleet[1]


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory, tiny_fleet: tuple[Fleet, list[SimulatedCar]]) -> Path:
    """A demo home with the logs of the tiny fleet taken in; no night has run. Copy it before changing it."""
    from pipelines.demo import take_in
    from pipelines.demo_files import sha256_of, write_files
    from pipelines.settings import Settings
    from warehouse.keys import write_demo_key, write_demo_marker

    home = tmp_path_factory.mktemp("tiny") / "home"
    write_demo_key(home, TINY_SEED)
    files = write_files(home, *tiny_fleet, days=TINY_DAYS)
    write_demo_marker(home, TINY_SEED, [sha256_of(p) for p in files.all])
    take_in(Settings(home=home, seed=TINY_SEED), files)
    return home
