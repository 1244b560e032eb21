"""Disks that are full, for true: ingest and a night on a small file system; then room, and the same digest as ever.

The disk is a tmpfs of its own (a user and mount namespace, ``unshare -rm``), made smaller and larger again. Sizes are
drawn between nothing and what the whole takes, so that writes fail anywhere: raw parts, spilled rows, the database and
its log, the note of the night, pages and the serving copy. A run on the small disk has to end well or with one
sentence; the run after it, with room, has to end with the digest of a home that never was short.
Run: ``python benchmarks/full_disk.py --trials 20``. Prints a line a trial and JSON; exit 1 when one differs.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.settings import Settings, prepare_environment

prepare_environment()

from models.synthetic import fleet_of, small_fleet  # noqa: E402
from pipelines.demo import take_in  # noqa: E402
from pipelines.demo_files import sha256_of, write_files  # noqa: E402
from pipelines.errors import UserError  # noqa: E402
from pipelines.nightly import run_plain  # noqa: E402
from warehouse.digest import digest_home  # noqa: E402
from warehouse.keys import KeyFileError, write_demo_key, write_demo_marker  # noqa: E402
from warehouse.store import WarehouseError  # noqa: E402

VEHICLES, DAYS, SEED = 2, 20, 1
ROOM = "1g"
# What a night said so far, in the child that runs it.
SAID = ["intake"]


def forked(work: Callable[[], Any]) -> tuple[int, str]:
    """Exit code (0, 3 = one sentence, 4 = several lines, 5 = a traceback) and words of a child that does the work.

    A child of its own each time: threads do not survive a fork.
    """
    ears, mouth = os.pipe()
    pid = os.fork()
    if pid == 0:
        code, words = 0, ""
        try:
            words = work() or ""
        except (UserError, WarehouseError, KeyFileError) as error:
            words = f"after {SAID[-1]}: {error}"
            code = 3 if "\n" not in words and "cannot be written (" in words else 4
        except BaseException:
            code, words = 5, traceback.format_exc()
        os.write(mouth, words.encode()[:60_000])
        os._exit(code)
    os.close(mouth)
    with os.fdopen(ears, "rb") as file:
        words = file.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), words


def _path(command: str) -> str:
    found = shutil.which(command)
    if found is None:
        raise SystemExit(f"{command} is not there: a disk cannot be made small for true")
    return found


def sized(disk: Path, size: str, first: bool = False) -> None:
    """Make the disk so large."""
    option = f"{'' if first else 'remount,'}size={size}"
    subprocess.run([_path("mount"), "-t", "tmpfs", "-o", option, "tmpfs", str(disk)], check=True)


def work(root: Path, home: Path) -> None:
    """All logs in, and a night."""
    settings = Settings(home=home, seed=SEED, draws=50, conformance_samples=0, conformance_days=7)
    files = pickle.loads((root / "files.pkl").read_bytes())  # noqa: S301 - written above
    try:
        write_demo_key(home, SEED)
        write_demo_marker(home, SEED, [sha256_of(path) for path in files.all])
    except OSError as error:  # made by `fadecast demo`, no part of what is tried here
        raise WarehouseError(f"The key cannot be written ({error.strerror}).") from None
    take_in(settings, files)
    SAID.append("start")
    run_plain(settings, None, lambda text: SAID.append(text.partition(":")[0]))


def made(root: Path) -> None:
    """Logs of a small fleet."""
    write_demo_key(root / "logs", SEED)
    files = write_files(root / "logs", fleet_of(VEHICLES, DAYS, SEED), small_fleet(SEED, VEHICLES, DAYS), DAYS)
    (root / "files.pkl").write_bytes(pickle.dumps(files))


def state_of(home: Path) -> str:
    """Digest of tables, pages and samples."""
    return forked(lambda: json.dumps(digest_home(home)))[1]


def run(trials: int, seed: int) -> dict[str, Any]:
    """Trials; raises `SystemExit` at the first that differs. Only inside a mount namespace."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    steps: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="fadecast-full-") as folder:
        root, disk = Path(folder), Path(folder) / "disk"
        disk.mkdir()
        sized(disk, ROOM, first=True)
        home = disk / "home"
        for code, words in (forked(lambda: made(root)), forked(lambda: work(root, home))):
            if code:
                raise SystemExit(f"the undisturbed run failed: {words}")
        whole, most = state_of(home), shutil.disk_usage(disk).used // 1024
        shutil.rmtree(home)
        for trial in range(trials):
            # Evenly over the whole: half a trial's share is left to chance.
            kilobytes = int(most * (trial + chance.random()) / trials)
            sized(disk, f"{max(kilobytes, 4)}k")
            code, words = forked(lambda: work(root, home))
            steps[words.partition(": ")[0] if code else "nothing"] += 1
            sys.stderr.write(f"{kilobytes} of {most} kB: {words if code else 'enough'}\n")
            if code not in (0, 3):
                raise SystemExit(f"with {kilobytes} kB the run ended with {code}, not with one sentence: {words}")
            sized(disk, ROOM)
            code, words = forked(lambda: work(root, home))
            if code:
                raise SystemExit(f"the run after one with {kilobytes} kB failed: {words}")
            if state_of(home) != whole:
                raise SystemExit(f"the state after {kilobytes} kB differs")
            shutil.rmtree(home)
        subprocess.run([_path("umount"), str(disk)], check=True)
    return {"trials": trials, "kilobytes": most, "failed": dict(sorted(steps.items())), "differ": 0}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inside", action="store_true", help="a mount namespace is there already")
    given = parser.parse_args()
    if not given.inside:
        return subprocess.run([_path("unshare"), "-rm", sys.executable, *sys.argv, "--inside"], check=False).returncode
    print(json.dumps(run(given.trials, given.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
