"""kill -9 at random points of an ingest; the next run has to end with the digest and the bytes of an undisturbed one.

Children are forked from a process that has loaded everything and used nothing, so that a trial takes about two seconds.
Run: ``python benchmarks/kill_ingest.py --kills 200``. Prints a line and JSON; exit 1 when a trial differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.settings import Settings, prepare_environment

prepare_environment()

from pipelines.steps.intake import ingest  # noqa: E402
from warehouse.checks import run_checks  # noqa: E402
from warehouse.digest import digest  # noqa: E402
from warehouse.keys import KeyFileError, write_demo_key  # noqa: E402
from warehouse.store import WarehouseError, open_warehouse  # noqa: E402

HEAD = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km"


def write_logs(folder: Path, files: int = 5, rows: int = 1500) -> None:
    """Logs that overlap, contradict each other and hold rows that are refused."""
    folder.mkdir(parents=True)
    for number in range(files):
        lines = [HEAD]
        for row in range(rows):
            at = number * rows * 3 // 4 + row
            volts = "?" if row % 97 == 0 else f"{350 + at % 50 + (0.5 if row % 89 == 0 else 0)}"
            day, minute = divmod(at, 1440)
            clock = f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}T{minute // 60:02d}:{minute % 60:02d}:00Z"
            lines.append(f"car-{row % 3},{clock},s{at // 60},drive,{volts},-20,55.0,21,15,,{1000 + at}")
        (folder / f"{number}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def take_in(home: Path, logs: Path) -> None:
    """One ingest of all logs."""
    write_demo_key(home, 7) if not (home / "id.key").exists() else None
    ingest(Settings(home=home), [logs], "fadecast_samples")


def take_in_short(home: Path, logs: Path, most: int) -> None:
    """One ingest on a disk that takes no file longer than so many bytes; exits 3 with one sentence when that shows."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        take_in(home, logs)
    except (WarehouseError, KeyFileError) as error:
        os._exit(3 if "\n" not in str(error) and "cannot be written" in str(error) else 4)


def run_short(trials: int, seed: int) -> dict[str, float]:
    """Writes that fail at random lengths, inside DuckDB and outside; then a run with room, as `run` compares it."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    refused = 0
    with tempfile.TemporaryDirectory(prefix="fadecast-full-") as folder:
        root = Path(folder)
        logs = root / "logs"
        write_logs(logs)
        done(forked(lambda: take_in(root / "whole", logs)))
        done(forked(lambda: state_of(root / "whole", root / "whole.json")))
        wanted = json.loads((root / "whole.json").read_text(encoding="utf-8"))
        longest = max(p.stat().st_size for p in (root / "whole").rglob("*") if p.is_file())
        home = root / "home"
        for trial in range(trials):
            # Any length alike, from no byte to just enough: key, lock, database, its log, parts, spilled rows.
            most = int(longest ** chance.random()) if trial else 0
            write_demo_key(home, 7)
            code = done(forked(lambda most=most: take_in_short(home, logs, most)))
            if code not in (0, 3):
                raise SystemExit(f"with at most {most} bytes a file the run ended with {code}, not with one sentence")
            refused += code == 3
            if done(forked(lambda: take_in(home, logs))):
                raise SystemExit(f"the run after one with at most {most} bytes a file failed")
            done(forked(lambda: state_of(home, root / "found.json")))
            if json.loads((root / "found.json").read_text(encoding="utf-8")) != wanted:
                raise SystemExit(f"the state after at most {most} bytes a file differs")
            shutil.rmtree(home)
    return {"short_disks": trials, "refused": refused, "differ": 0}


def state_of(home: Path, out: Path) -> None:
    """Digest of tables and bytes of parts, and the checks that fail."""
    with open_warehouse(home, create=False) as wh:
        found: dict[str, str] = digest(wh)
        failed = [check.name for check in run_checks(wh) if not check.passed]
    for path in sorted((home / "raw").rglob("*")):
        if path.is_file():
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    out.write_text(json.dumps({"digest": found, "failed": failed}), encoding="utf-8")


def forked(work: Callable[[], None]) -> int:
    """Process id of a child that does the work and nothing else."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:  # the child never returns into the parent's code
        sys.stderr.write(f"{error!r}\n")
    finally:
        os._exit(code)


def done(pid: int) -> int:
    """Exit code of a child, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(kills: int, seed: int) -> dict[str, float]:
    """Trials; raises `SystemExit` at the first that differs."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory(prefix="fadecast-kill-") as folder:
        root = Path(folder)
        logs = root / "logs"
        write_logs(logs)
        begun = time.monotonic()
        if done(forked(lambda: take_in(root / "whole", logs))):
            raise SystemExit("the undisturbed ingest failed")
        length = time.monotonic() - begun
        done(forked(lambda: state_of(root / "whole", root / "whole.json")))
        wanted = json.loads((root / "whole.json").read_text(encoding="utf-8"))
        if wanted["failed"]:
            raise SystemExit(f"checks fail without any kill: {wanted['failed']}")
        killed = trials = 0
        home = root / "home"
        while killed < kills:
            trials += 1
            for _ in range(1 + (chance.random() < 0.3)):  # sometimes the second run is killed as well
                pid = forked(lambda: take_in(home, logs))
                time.sleep(chance.uniform(0.0, 1.1 * length))
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    os.kill(pid, signal.SIGKILL)
                    done(pid)
                    killed += 1
            if done(forked(lambda: take_in(home, logs))):
                raise SystemExit(f"trial {trials}: the run after a kill failed")
            done(forked(lambda: state_of(home, root / "found.json")))
            found = json.loads((root / "found.json").read_text(encoding="utf-8"))
            if found != wanted:
                raise SystemExit(f"trial {trials}: the state after a kill differs (seed {seed})")
            shutil.rmtree(home)
            if trials % 10 == 0:
                print(f"{killed} kills, none differs", file=sys.stderr)
    return {"kills": killed, "trials": trials, "undisturbed_s": round(length, 2), "differ": 0}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", type=int, metavar="N", help="N disks that are full instead")
    given = parser.parse_args()
    body = run(given.kills, given.seed) if given.full is None else run_short(given.full, given.seed)
    print("  ".join(f"{k} {v}" for k, v in body.items()))
    print(json.dumps(body))
    return 0


if __name__ == "__main__":
    sys.exit(main())
