"""Fixtures that several test files share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def page_rows() -> ModuleType:
    """Hand-made rows of the out_ tables (``tests/page_rows.py``): plausible, seeded, for page tests only."""
    path = Path(__file__).with_name("page_rows.py")
    spec = importlib.util.spec_from_file_location("page_rows", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["page_rows"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def made_years() -> ModuleType:
    """Seeded years, packs and homes of dispatch tests (``tests/made_years.py``)."""
    path = Path(__file__).with_name("made_years.py")
    spec = importlib.util.spec_from_file_location("made_years", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["made_years"] = module
    spec.loader.exec_module(module)
    return module
