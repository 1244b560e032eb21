"""The house rules, as tests: import contracts, style, types, file length, registry, no addresses, no machine paths."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PACKAGES = ("models", "warehouse", "reports", "pipelines", "tests", "benchmarks")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _sources() -> list[Path]:
    peer = ROOT / "benchmarks" / "out"  # what `make bench` installs and writes is not ours
    found = (p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py")))
    return [p for p in found if not p.is_relative_to(peer)]


def test_import_contracts_hold() -> None:
    done = _run(str(BIN / "lint-imports"), "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    done = _run(str(BIN / "ruff"), "check", ".")
    assert done.returncode == 0, done.stdout
    done = _run(str(BIN / "ruff"), "format", "--check", ".")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow  # a minute of CPU: `make lint` has it at once
def test_basedpyright_finds_nothing() -> None:
    done = _run(str(BIN / "basedpyright"))
    assert done.returncode == 0, done.stdout[-4000:]


def test_no_file_is_over_400_lines() -> None:
    lengths = {p.relative_to(ROOT).as_posix(): len(p.read_text(encoding="utf-8").splitlines()) for p in _sources()}
    assert {p: n for p, n in lengths.items() if n > 400} == {}


def test_files_that_sources_and_pages_for_people_name_exist() -> None:
    """A source or a comment that points to a file which is gone misleads whoever checks it."""
    named = re.compile(r"\b(?:tests|benchmarks|models|pipelines|reports|warehouse)/[A-Za-z0-9_/]+\.(?:py|toml|sql)\b")
    readers = [
        *_sources(),
        *(ROOT / "models" / "parameters").glob("*.toml"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    ]
    gone = {
        (p.name, found)
        for p in readers
        for found in named.findall(p.read_text(encoding="utf-8"))
        if not (ROOT / found).is_file()
    }
    assert gone == set()


def test_no_blanket_ignores() -> None:
    bare = re.compile(r"#\s*(?:type:\s*ignore|pyright:\s*ignore|noqa|ruff:\s*noqa)\s*(?:$|[^:\[\s])", re.MULTILINE)
    found = [p.name for p in _sources() if p.name != "test_house.py" and bare.search(p.read_text(encoding="utf-8"))]
    assert found == []


def test_pybamm_sklearn_and_prefect_have_one_door_each() -> None:
    doors = {
        "pybamm": lambda p: p == "models/cell.py",
        "sklearn": lambda p: p.startswith("models/learned/"),
        "prefect": lambda p: p.startswith("pipelines/"),
    }
    for package, allowed in doors.items():
        imports = re.compile(rf"^\s*(?:import|from)\s+{package}\b", re.MULTILINE)
        for path in _sources():
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(("tests/", "benchmarks/")) and imports.search(path.read_text(encoding="utf-8")):
                assert allowed(name), f"{name} imports {package}"


def test_help_does_not_import_the_heavy_libraries() -> None:
    code = (
        "import sys, pipelines.cli; "
        "bad = {'prefect', 'pybamm', 'sklearn', 'numba', 'duckdb'} & set(sys.modules); sys.exit(f'{bad}' if bad else 0)"
    )
    done = _run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_lock_has_hashes_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"(https?://|index-url)", text)
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(blocks) > 100
    assert [b.split("\n")[0] for b in blocks if "--hash=sha256:" not in b] == []
    assert re.search(r"^uv-build==", text, re.MULTILINE)


def test_every_column_of_every_table_is_in_the_registry_and_used() -> None:
    registry = tomllib.loads((ROOT / "warehouse/columns.toml").read_text(encoding="utf-8"))
    used = {c for columns in registry["tables"].values() for c in columns}
    assert used == set(registry["columns"])
    for name, spec in registry["columns"].items():
        assert spec["meaning"] and spec["unit"] and spec["type"], name
        if spec["type"] == "DOUBLE":
            assert "digits" in spec, f"{name} needs digits"


@pytest.mark.parametrize("path", [p for p in sorted((ROOT / "models/parameters").glob("*.toml"))], ids=lambda p: p.stem)
def test_every_parameter_has_value_unit_source_and_standing(path: Path) -> None:
    from models.parameters import load

    for entry in load(path.stem).values():
        for parameter in entry.parameters.values():
            assert parameter.source.strip(), f"{path.name}: {entry.entry_id}.{parameter.name} has no source"
            assert parameter.unit.strip(), f"{path.name}: {entry.entry_id}.{parameter.name} has no unit"
