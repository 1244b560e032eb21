"""One frozen `Settings` for every entry point, from arguments and ``FADECAST_*`` variables."""

from __future__ import annotations

import os
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


def prepare_environment() -> None:
    """Set what must stand before pybamm, prefect and numpy are imported; what the user set stays."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


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
        Threads that compute vehicles.
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
