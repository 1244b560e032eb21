"""Compile what is compiled at first use: a tiny night in a temporary home (``make setup`` runs this once).

Numba keeps the machine code beside the sources, so that the first real night starts at full speed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter

from pipelines.settings import Settings, prepare_environment

SEED, VEHICLES, DAYS = 1, 3, 45


def warm() -> float:
    """Run the steps of a night on three made-up cars; returns the seconds it took."""
    from models.synthetic import fleet_of, small_fleet
    from pipelines.demo import take_in
    from pipelines.demo_files import sha256_of, write_files
    from pipelines.nightly import run_plain
    from warehouse.keys import write_demo_key, write_demo_marker

    begun = perf_counter()
    with tempfile.TemporaryDirectory(prefix="fadecast-warm-") as folder:
        home = Path(folder) / "home"
        settings = Settings(home=home, seed=SEED, draws=50, conformance_samples=1, conformance_days=7)
        write_demo_key(home, SEED)
        files = write_files(home, fleet_of(VEHICLES, DAYS, SEED), small_fleet(SEED, VEHICLES, DAYS), DAYS)
        write_demo_marker(home, SEED, [sha256_of(p) for p in files.all])
        take_in(settings, files)
        run_plain(settings)
    return perf_counter() - begun


if __name__ == "__main__":
    prepare_environment()
    sys.stderr.write(f"Kernels compiled in {warm():.0f} s.\n")
