"""Speed and exactness of the laws against BLAST-Lite 1.1.1, exact integration, re-dispatch and `rainflow` 3.2.

CPU time of one run; warm (the first call of a numba kernel and the tables of a law are outside), interpreter start
excluded on both sides. BLAST-Lite runs in a virtual environment that this script makes (``benchmarks/out/peer``).
Run: ``python benchmarks/bench_speed.py [--quick]``. Writes ``benchmarks/out/speed.json``; ends with the goals.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

from pipelines.settings import prepare_environment

prepare_environment()

import numpy as np  # noqa: E402
from made_home import made_year, pack_of_cell  # noqa: E402

from models.dispatch import dispatch, duty_of  # noqa: E402
from models.domain import Duty, Pack  # noqa: E402
from models.exposure import LEVELS, monthly, twelve_periods  # noqa: E402
from models.laws.base import Law  # noqa: E402
from models.laws.power import PowerLaw, half_cycles, power_law  # noqa: E402
from models.laws.rainflow import count_cycles  # noqa: E402
from models.laws.registry import laws_for  # noqa: E402
from models.laws.sei import SeiLaw  # noqa: E402
from models.parameters import load  # noqa: E402
from models.policies import charger, policies, tariff  # noqa: E402

OUT = Path(__file__).parent / "out"
PARTS = 6
OURS = 30  # calls of ours in a round against the peer: the first dozen are slower
QUICK = "--quick" in sys.argv
YEARS, ROUNDS = (3, 1) if QUICK else (10, 4)
PEERS = {"nmc811_lgmj1_2020": 1500.0, "nmc_b1_2023": 1500.0, "lfp_250ah_2023": 400.0}
ONE = np.ones(1)
Goal = dict[str, object]


def cpu(f: Callable[[], object], times: int = 5) -> float:
    """Least CPU seconds of several calls, after one to warm up."""
    f()
    spent = []
    for _ in range(times):
        begun = process_time()
        f()
        spent.append(process_time() - begun)
    return min(spent)


def goal(name: str, value: float, wanted: float, at_least: bool, unit: str) -> Goal:
    """A row of the table of goals."""
    met = value >= wanted if at_least else value <= wanted
    return {"what": name, "value": value, "goal": wanted, "unit": unit, "at_least": at_least, "met": bool(met)}


def evening_duty(pack: Pack, level: float = 1.0) -> Duty:
    """Hourly duty of the made-up car that exports every evening."""
    year = made_year(1)
    policy = next(p for p in policies() if p.policy_id == "evening_peak")
    done = dispatch(year, policy, charger("v2h_7kw"), tariff("uk_go_like"), pack, level)
    return duty_of(done, year, pack)


def repeated(duty: Duty, years: int) -> Duty:
    """The same year, logged several times (its SOC closes to below 1e-2, the jump is one more step)."""
    soc = np.concatenate([np.tile(duty.cell_soc_frac[:-1], years), duty.cell_soc_frac[-1:]])
    return Duty(
        duty.start_utc,
        duty.step_minutes,
        soc,
        np.tile(duty.temp_c, years),
        np.tile(duty.current_a, (years, 1)),
        duty.capacity_ah,
        np.tile(duty.filled, years),
    )


def project(law: Law, daily: np.ndarray) -> np.ndarray:
    """Capacity at the end of each month in service."""
    sums, _ = monthly(daily, 0)
    return law.project(sums[None], ONE, np.zeros((1, len(law.multiplier_names)))).capacity_frac[0]


def peer_python() -> Path | None:
    """Python of BLAST-Lite's own virtual environment, made on first use; None where it can't be installed."""
    home = OUT / "peer"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        OUT.mkdir(exist_ok=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
            command = [str(python), "-m", "pip", "install", "--quiet", "blast-lite==1.1.1", "setuptools<81"]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"BLAST-Lite 1.1.1 can't be installed here ({type(error).__name__}): that comparison is left out.")
            return None
        (home / "ready").touch()
    return python


def exact_capacity(law: PowerLaw, duty: Duty, pack: Pack) -> np.ndarray:
    """The law part by part of a step through its own inverse, y <- k ((y/k)^(1/p) + dx)^p; at the end of each day."""
    parts = (np.arange(PARTS) + 0.5) / PARTS  # within a step SOC runs straight
    soc = (duty.cell_soc_frac[:-1, None] + np.diff(duty.cell_soc_frac)[:, None] * parts).ravel()
    rate = law.calendar(duty.temp_c.repeat(PARTS) + 273.15, soc, pack.ocv.voltage_v(soc))
    per_day, step = 24 * 60 // duty.step_minutes, duty.step_hours / 24.0 / PARTS
    p, y, stored = law.exponents[0], 0.0, np.zeros(soc.size)
    for i, k in enumerate(rate.tolist()):
        if k > 0.0:
            y = k * ((y / k) ** (1.0 / p) + step) ** p
        stored[i] = y
    half, p, y = half_cycles(duty, pack), law.exponents[1], 0.0
    k_of = np.asarray(law._cycling_k(half)).tolist()
    cycled = np.zeros(duty.steps // per_day)
    for i in np.argsort(half.day, kind="stable"):
        k = k_of[i]
        if k > 0.0:
            y = k * ((y / k) ** (1.0 / p) + half.full_cycles[i]) ** p
        cycled[half.day[i]] = y
    return 1.0 - stored[PARTS * per_day - 1 :: PARTS * per_day] - np.maximum.accumulate(cycled)


def bench_peer(goals: list[Goal]) -> list[dict[str, object]]:
    """CPU a vehicle-year of ours and of BLAST-Lite: same hourly profile, same law."""
    python = peer_python()
    if python is None:
        return []
    pack = pack_of_cell("nmc811_lgm50", "nmc")
    duty = evening_duty(pack)
    profile, result = OUT / "profile.npz", OUT / "peer.json"
    hours = np.arange(duty.steps + 1)
    temp = np.append(duty.temp_c, duty.temp_c[-1])
    np.savez(profile, time_s=hours * 3600.0, soc=duty.cell_soc_frac, temp_c=temp)
    script = Path(__file__).parent / "peer_blast.py"
    logged = repeated(duty, YEARS)
    years = logged.steps * logged.step_hours / 8766.0  # of 365.25 days, as theirs: a representative year has 364
    rows: list[dict[str, object]] = []
    peer: dict[str, dict[str, dict[str, Any]]] = {}
    spent_ms, every_s, once_s = (dict.fromkeys(PEERS, np.inf) for _ in range(3))
    for _ in range(ROUNDS):  # by turns, as the machine's pace changes; the least of each side counts
        subprocess.run([str(python), str(script), str(profile), str(result), str(YEARS)], check=True)
        peer = json.loads(result.read_text())
        for law_id in PEERS:
            law = power_law(law_id)
            spent_ms[law_id] = min(spent_ms[law_id], *(run["cpu_ms_a_year"] for run in peer[law_id].values()))
            every = cpu(lambda: project(law, law.exposures(logged, pack)), OURS) / years  # noqa: B023
            year = lambda: np.tile(twelve_periods(law.exposures(duty, pack)), (YEARS, 1))  # noqa: B023, E731
            once = cpu(lambda: law.project(year()[None], ONE, np.zeros((1, 2))), OURS) / YEARS  # noqa: B023
            every_s[law_id], once_s[law_id] = min(every_s[law_id], every), min(once_s[law_id], once)
    for law_id, wanted in PEERS.items():
        law, theirs = power_law(law_id), peer[law_id]["without feedback"]
        spent, every, once = spent_ms[law_id], every_s[law_id], once_s[law_id]
        exact = exact_capacity(law, logged, pack)
        days = np.minimum(np.array(theirs["days"][1:]).astype(int), exact.size) - 1
        peer_loss = 100 * (1 - np.array(theirs["capacity_frac"][1:]))
        rows.append(
            {
                "law": law_id,
                "peer_cpu_ms_a_year": spent,
                "ours_cpu_ms_a_year_every_year_logged": 1e3 * every,
                "ours_cpu_ms_a_year_one_year_repeated": 1e3 * once,
                "ratio_every_year_logged": spent / (1e3 * every),
                "ratio_one_year_repeated": spent / (1e3 * once),
                "loss_pp_exact": float(100 * (1 - exact[days[-1]])),
                "loss_pp_peer": float(peer_loss[-1]),
                "peer_error_pp_max": float(np.max(np.abs(peer_loss - 100 * (1 - exact[days])))),
                "ours_error_pp_max": error_pp(law, logged, pack, exact),
            }
        )
        goals.append(
            goal(f"{law_id}: CPU against BLAST-Lite, every year logged", spent / 1e3 / every, wanted, True, "x")
        )
        goals.append(
            goal(f"{law_id}: CPU against BLAST-Lite, one year repeated", spent / 1e3 / once, wanted, True, "x")
        )
    return rows


def error_pp(law: PowerLaw, duty: Duty, pack: Pack, exact: np.ndarray) -> float:
    """Largest difference to exact integration at the ends of months. [pp]"""
    daily = law.exposures(duty, pack)
    mine = law.project(daily[None], ONE, np.zeros((1, 2))).capacity_frac[0]
    return float(100 * np.max(np.abs(mine - exact)))


def bench_exact(goals: list[Goal]) -> list[dict[str, object]]:
    """Every power law against its own step-by-step integration, without feedback."""
    rows = []
    pack = pack_of_cell("nmc811_lgm50", "nmc")
    logged = repeated(evening_duty(pack), 2 if QUICK else 10)
    for law_id in sorted(load("laws_power")):
        law = power_law(law_id)
        rows.append({"law": law_id, "error_pp": error_pp(law, logged, pack, exact_capacity(law, logged, pack))})
    goals.append(
        goal("error to exact integration, all power laws", max(r["error_pp"] for r in rows), 0.01, False, "pp")
    )
    return rows


def redispatched(law: Law, pack: Pack, policy_id: str, years: int, parts: int) -> np.ndarray:
    """Reference with feedback: dispatched anew ``parts`` times a month at the capacity of that moment."""
    year, policy = made_year(1), next(p for p in policies() if p.policy_id == policy_id)
    box, prices, logs = charger("v2h_7kw"), tariff("uk_go_like"), np.zeros((1, len(law.multiplier_names)))
    state, now, out = None, 1.0, []
    for i in range(12 * parts * years):
        level = round(now, 5)
        daily = law.exposures(duty_of(dispatch(year, policy, box, prices, pack, level), year, pack), pack)
        total = np.concatenate([np.zeros((1, daily.shape[1])), np.cumsum(daily, axis=0)])
        edges = np.linspace(0.0, 364.0, 12 * parts + 1)[i % (12 * parts) :][:2]
        low = np.minimum(edges.astype(int), 363)
        part = np.diff(total[low] + (edges - low)[:, None] * daily[low], axis=0) * (365.25 / 364)
        run = law.project(part[None], ONE, logs, state)
        state, now = run.state, float(run.capacity_frac[0, -1])
        if i % parts == parts - 1:
            out.append(now)
    return np.array(out)


def bench_feedback(goals: list[Goal]) -> list[dict[str, object]]:
    """Levels of present capacity against re-dispatch as capacity falls, SOC floors included."""
    rows = []
    years, parts = (2, 1) if QUICK else (10, 2)
    pack = pack_of_cell("nmc811_lgm50", "nmc")
    box, prices, year = charger("v2h_7kw"), tariff("uk_go_like"), made_year(1)
    known = [power_law("nmc_b1_2023")] if QUICK else [*laws_for("nmc811_lgm50")]
    for policy_id in ("evening_peak", "evening_peak_floor_60"):
        policy = next(p for p in policies() if p.policy_id == policy_id)
        for law in known:
            by_level = [
                twelve_periods(law.exposures(duty_of(dispatch(year, policy, box, prices, pack, x), year, pack), pack))
                for x in LEVELS
            ]
            e = np.tile(np.stack(by_level), (1, years, 1))
            logs = np.zeros((1, len(law.multiplier_names)))
            mine = law.project(e, np.array(LEVELS), logs).capacity_frac[0]
            alone = law.project(e[:1], ONE, logs).capacity_frac[0]
            truth = redispatched(law, pack, policy_id, years, parts)
            rows.append(
                {
                    "law": law.law_id,
                    "policy": policy_id,
                    "loss_pp": float(100 * (1 - truth[-1])),
                    "error_pp": float(100 * np.max(np.abs(mine - truth))),
                    "error_pp_without_feedback": float(100 * np.max(np.abs(alone - truth))),
                }
            )
    for floor in (False, True):
        worst = max(float(r["error_pp"]) for r in rows if ("floor" in str(r["policy"])) == floor)
        name = "error with feedback, " + ("SOC floor at 60 %" if floor else "no raised floor")
        goals.append(goal(name, worst, 0.02, False, "pp"))
    return rows


def bench_physics(goals: list[Goal]) -> list[dict[str, object]]:
    """SEI members: a year's exposures, a decade from one year and from ten logged years."""
    rows = []
    for cell_id, chemistry in (("nmc811_lgm50", "nmc"), ("lfp_prada2013", "lfp")):
        pack = pack_of_cell(cell_id, chemistry)
        duty = evening_duty(pack)
        for law in laws_for(cell_id):
            if not isinstance(law, SeiLaw):
                continue
            logs = np.zeros((1, len(law.multiplier_names)))
            once = cpu(lambda: law.exposures(duty, pack))  # noqa: B023
            e = np.tile(twelve_periods(law.exposures(duty, pack)), (10, 1))[None]
            run = cpu(lambda: law.project(e, ONE, logs))  # noqa: B023
            logged = repeated(duty, 10)
            every = cpu(lambda: project(law, law.exposures(logged, pack)), 10)  # noqa: B023
            rows.append(
                {
                    "law": law.law_id,
                    "cell": cell_id,
                    "exposures_ms_a_year": 1e3 * once,
                    "projection_ms_a_decade": 1e3 * run,
                    "decade_ms_one_year_repeated": 1e3 * (once + run),
                    "decade_ms_ten_years_logged": 1e3 * every,
                }
            )
    for key, name in (("one_year_repeated", "one year repeated"), ("ten_years_logged", "ten years logged")):
        worst = max(float(r[f"decade_ms_{key}"]) for r in rows)
        goals.append(goal(f"physics member, a vehicle-decade, {name}", worst, 20.0, False, "ms"))
    return rows


def bench_rainflow(goals: list[Goal]) -> list[dict[str, object]]:
    """Points a second of CPU, and the same ranges as `rainflow` 3.2."""
    import rainflow

    n = 200_000 if QUICK else 2_000_000
    rng = np.random.default_rng(1)
    duty = evening_duty(pack_of_cell("nmc811_lgm50", "nmc"))
    traces = {
        "random": rng.random(n),
        "plateaus": np.repeat(np.round(rng.random(n // 12 + 1), 2), 12)[:n],
        "EV": np.resize(duty.cell_soc_frac, n),
    }
    rows = []
    for name, x in traces.items():
        spent, short = cpu(lambda: count_cycles(x)), x[:20_000]  # noqa: B023
        begun = process_time()
        theirs = sorted((r, c) for r, _, c, _, _ in rainflow.extract_cycles(short.tolist()) if r > 0)
        peer = process_time() - begun
        c = count_cycles(short)
        mine = sorted(zip(c.range_frac.tolist(), c.count.tolist(), strict=True))
        same = len(mine) == len(theirs) and bool(np.allclose(mine, theirs, atol=1e-12))
        speed = n / spent / 1e6
        rows.append({"trace": name, "m_points_s": speed, "ratio": speed * 1e6 * peer / short.size, "same": same})
        goals.append(goal(f"rainflow, {name} trace" + ("" if same else " (DIFFERS)"), speed, 30.0, True, "M points/s"))
        goals[-1]["met"] = bool(goals[-1]["met"]) and same
    return rows


def forecast_goals() -> list[Goal]:
    """Goals of bench_forecast.py, from its last run (``make bench`` runs it before this)."""
    if not (OUT / "forecast.json").exists():
        return []
    last = json.loads((OUT / "forecast.json").read_text())
    wanted, scaled = last["goals"], "" if last["measured_vehicles"] == last["vehicles"] else ", scaled"
    rows = [
        goal(f"1,000 vehicles{scaled}, {r['forecast']}", r["seconds"], wanted["seconds"], False, "s")
        for r in last["rows"]
        if r["workers"] == "processes"
    ]
    return [*rows, goal("peak memory of that", last["peak_gb"], wanted["gb"], False, "GB")]


def fleet_goals() -> list[Goal]:
    """Goals of bench_fleet.py, from its last run."""
    last = OUT / "fleet.json"
    return json.loads(last.read_text())["goals"] if last.exists() else []


def table(rows: list[dict[str, object]]) -> None:
    """Print rows of figures."""
    for row in rows:
        print("  " + "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


def main() -> int:
    """Run every part, print, write JSON, end with the table of goals."""
    goals: list[Goal] = []
    result: dict[str, object] = {"years": YEARS}
    for name, part in (
        ("rainflow", bench_rainflow),
        ("physics member", bench_physics),
        ("peer", bench_peer),
        ("exact integration", bench_exact),
        ("feedback", bench_feedback),
    ):
        print(name)
        rows = part(goals)
        table(rows)
        result[name] = rows
    goals += forecast_goals() + fleet_goals()
    result["goals"] = goals
    OUT.mkdir(exist_ok=True)
    (OUT / "speed.json").write_text(json.dumps(result, indent=1) + "\n")
    print("goals (warm; interpreter start excluded on both sides)")
    for g in goals:
        sign = ">=" if g["at_least"] else "<="
        print(
            f"  {g['what']:62s} {g['value']:10.4g} {sign} {g['goal']:g} {g['unit']}: {'met' if g['met'] else 'not met'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
