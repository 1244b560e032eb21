"""One frozen `Settings` for every entry point, from arguments and ``FADECAST_*`` variables."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# Set before any library is imported that would call home or give up on a slow machine (see CONTRIBUTING, "Traps").
ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PYBAMM_DISABLE_TELEMETRY": "true",
    # The same numbers every night: sums inside BLAST libraries depend on the number of threads.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

# Folders with compiled functions (`@njit(cache=True)`); a test compares.
KERNEL_FOLDERS = ("models", "models/laws", "warehouse/readers")


def prepare_environment() -> None:
    """Set what must stand before pybamm, prefect, numba and numpy are imported; what the user set stays."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "NUMBA_CACHE_DIR" not in os.environ:
        code = Path(__file__).resolve().parents[1]
        user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "numba"
        folder = cache_folder([code / name for name in KERNEL_FOLDERS], user)
        if folder is not None:
            os.environ["NUMBA_CACHE_DIR"] = str(folder)


def cache_folder(kernels: list[Path], user: Path) -> Path | None:
    """Folder for compiled code where numba has none of its own, `None` where it has (or nothing can be written).

    Numba writes beside the sources, else into the user's cache folder, and gives up where it can write neither (an
    installation for all users, a service without a home). Then it is a folder of this user alone below the temporary
    one: what lies there is run, so one that somebody else could have filled is not taken.
    """
    if all(_writable(folder / "__pycache__") for folder in kernels) or _writable(user):
        return None
    try:
        folder = Path(tempfile.gettempdir()) / f"fadecast-numba-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        own = state.st_uid == os.getuid() and state.st_mode & 0o777 == 0o700 and not folder.is_symlink()
        return folder if own else Path(tempfile.mkdtemp(prefix="fadecast-numba-"))
    except OSError:
        return None


def _writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made when it is missing (if only its parents allow it)."""
    while not os.path.lexists(folder) and folder.parent != folder:
        folder = folder.parent
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)  # noqa: PTH112  never raises


class Settings(BaseSettings):
    """Settings of a run; each may be given as ``FADECAST_<NAME>``.

    Parameters
    ----------
    home
        Folder of everything generated: warehouse, raw parts, publications, key.
    seed
        Seed of every draw.
    draws
        Worlds in an ensemble; a 99 % reserve needs at least 2,000.
    workers
        How many vehicles are computed at a time: in threads, for large fleets in processes (`pipelines.computing`).
    horizon_years
        How far forecasts go. [a]
    batch_vehicles
        Vehicles a Prefect task computes.
    conformance_samples, conformance_days
        How many vehicle-policies a night runs through PyBaMM, and for how long.
    pybamm_budget_pp
        A night fails when the kernel errs by more, 95 % quantile. [pp]
    serve_hour_utc
        When `fadecast serve` starts the night. [h]
    """

    model_config = SettingsConfigDict(env_prefix="FADECAST_", frozen=True, extra="forbid")

    home: Path = Field(default=Path("var"))
    seed: int = Field(default=1, ge=0)
    draws: int = Field(default=2000, ge=50, le=20_000)
    workers: int = Field(default=2, ge=1, le=64)
    horizon_years: int = Field(default=10, ge=1, le=20)
    batch_vehicles: int = Field(default=50, ge=1, le=200)
    conformance_samples: int = Field(default=6, ge=0, le=64)
    conformance_days: int = Field(default=90, ge=7, le=3650)
    pybamm_budget_pp: float = Field(default=0.1, gt=0)
    serve_hour_utc: int = Field(default=2, ge=0, le=23)
