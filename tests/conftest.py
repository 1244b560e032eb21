"""Fixtures that several test files share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


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
def page_rows() -> ModuleType:
    """Hand-made rows of the out_ tables (``tests/page_rows.py``): plausible, seeded, for page tests only."""
    return _beside("page_rows")


@pytest.fixture(scope="session")
def history_sim() -> ModuleType:
    """A simulated car with known capacity (``tests/history_sim.py``)."""
    return _beside("history_sim")


@pytest.fixture(scope="session")
def made_years() -> ModuleType:
    """Seeded years, packs and homes of dispatch tests (``tests/made_years.py``)."""
    return _beside("made_years")


@pytest.fixture(scope="session")
def decide_rows() -> ModuleType:
    """A made-up vehicle with all that its decisions depend on (``tests/decide_rows.py``)."""
    return _beside("decide_rows")
