"""What stands before libraries are imported: where compiled code is kept."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import settings

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = Path("/dev/null/cache")  # cannot be made, whoever runs this


def test_the_folders_with_compiled_functions_are_known() -> None:
    found = set()
    for name in ("models", "warehouse", "reports", "pipelines"):
        for path in (ROOT / name).rglob("*.py"):
            if re.search(r"^@(numba\.)?njit", path.read_text(encoding="utf-8"), re.MULTILINE):
                found.add(str(path.parent.relative_to(ROOT)))
    assert found == set(settings.KERNEL_FOLDERS)


def test_compiled_code_goes_to_the_temporary_folder_where_nothing_else_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert settings.cache_folder([tmp_path / "a", tmp_path / "b"], NOWHERE) is None
    assert settings.cache_folder([tmp_path, NOWHERE], tmp_path / "new" / "numba") is None
    assert list(tmp_path.iterdir()) == []
    own = settings.cache_folder([tmp_path, NOWHERE], NOWHERE)
    assert own is not None and own.parent == tmp_path and stat.S_IMODE(own.stat().st_mode) == 0o700
    assert settings.cache_folder([NOWHERE], NOWHERE) == own
    own.chmod(0o777)  # anybody may have left code there
    other = settings.cache_folder([NOWHERE], NOWHERE)
    assert other is not None and other != own and stat.S_IMODE(other.stat().st_mode) == 0o700
    monkeypatch.setattr(tempfile, "tempdir", str(NOWHERE))
    assert settings.cache_folder([NOWHERE], NOWHERE) is None


def test_kernels_run_in_a_checkout_that_cannot_be_written_without_a_home_folder(
    tmp_path: Path, locked: Callable[[Path], list[str]]
) -> None:
    code = (
        "from pipelines.settings import prepare_environment; prepare_environment()\n"
        "import os; print(os.environ['NUMBA_CACHE_DIR'])\n"
        "import numpy as np; from warehouse.readers.ocpp_records import _not_blank\n"
        "one = np.zeros(1, np.int64); print(_not_blank(np.zeros(1, np.uint8), one, one + 1))"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    env |= {"HOME": str(NOWHERE), "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*locked(ROOT), sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(str(tmp_path)) and "True" in done.stdout
