"""Samples and logged sessions in, typed sessions out: drive, charge, export, rest.

An interval between two accepted samples belongs to the session of the end with the larger current (left on a tie);
where the current changes sign between two sessions each takes its part. So sessions tile the time that was logged, and
their energies add up to those of the duty.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models import parameters
from models.domain import BoolArray, FloatArray, IntArray, Use

US_PER_S = 1_000_000
US_PER_HOUR = 3600 * US_PER_S
US_PER_DAY = 24 * US_PER_HOUR
STATES = {"drive": 0, "charge": 1, "export": 2, "rest": 3}
KINDS = tuple(STATES)
UNKNOWN = -1
EXAMPLES = 5


def _nothing() -> FloatArray:
    return np.zeros(0)


def _nobody() -> BoolArray:
    return np.zeros(0, dtype=bool)


def _unnamed() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one vehicle in time order.

    Parameters
    ----------
    time_us
        Microseconds since 1970 UTC, not decreasing, shape (n,).
    state
        `Use` of each sample, -1 where the log does not say, shape (n,).
    ref
        Index into ``refs``, -1 where the log names no session, shape (n,).
    refs
        The log's own session names.
    voltage_v, current_a, soc_frac, battery_temp_c, ambient_c, power_kw, odometer_km
        As in the raw parts, NaN where not logged, shape (n,).
    soh_frac, energy_in_register_kwh, energy_out_register_kwh
        What the BMS shows; lifetime counters of the charger's meter. NaN where not logged (all, if not given).
    charger
        Whether a sample was logged by the charger, not by the car, shape (n,) (none, if not given).
    meter
        Under which of the vehicle's names it was logged: 0 its own, then its aliases, shape (n,) (0, if not given).
    """

    time_us: IntArray
    state: NDArray[np.int8]
    ref: IntArray
    refs: tuple[str, ...]
    voltage_v: FloatArray
    current_a: FloatArray
    soc_frac: FloatArray
    battery_temp_c: FloatArray
    ambient_c: FloatArray
    power_kw: FloatArray
    odometer_km: FloatArray
    soh_frac: FloatArray = field(default_factory=_nothing)
    energy_in_register_kwh: FloatArray = field(default_factory=_nothing)
    energy_out_register_kwh: FloatArray = field(default_factory=_nothing)
    charger: BoolArray = field(default_factory=_nobody)
    meter: IntArray = field(default_factory=_unnamed)

    MAIN = ("voltage_v", "current_a", "soc_frac", "battery_temp_c", "ambient_c", "power_kw", "odometer_km")
    REGISTERS = ("energy_in_register_kwh", "energy_out_register_kwh")
    CHANNELS = (*MAIN, "soh_frac", *REGISTERS)
    ARRAYS = ("time_us", "state", "ref", "charger", "meter", *CHANNELS)

    def __post_init__(self) -> None:
        n = self.time_us.shape[0]
        for name in ("soh_frac", *self.REGISTERS):
            if getattr(self, name).shape[0] != n:
                object.__setattr__(self, name, np.full(n, np.nan))
        if self.charger.shape[0] != n:
            object.__setattr__(self, "charger", np.zeros(n, dtype=bool))
        if self.meter.shape[0] != n:
            object.__setattr__(self, "meter", np.zeros(n, dtype=np.int64))
        # Compiled code is made for one kind of arrays: whole, not to be written.
        for name in self.ARRAYS:
            array = np.ascontiguousarray(getattr(self, name)).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def size(self) -> int:
        """Number of samples."""
        return int(self.time_us.shape[0])

    def take(self, index: IntArray | BoolArray) -> Samples:
        """Some of the samples, or all in another order."""
        return replace(self, **{name: getattr(self, name)[index] for name in self.ARRAYS})

    @property
    def accepted(self) -> BoolArray:
        """Samples that are integrated: voltage and current are known."""
        return np.isfinite(self.voltage_v) & np.isfinite(self.current_a)


@dataclass(frozen=True)
class RawSession:
    """One session as logged; ``end_us`` None = never closed; energies at the meter, None = not logged."""

    session_ref: str
    kind: str  # plugin | charge | export | drive
    start_us: int
    end_us: int | None
    energy_in_meter_kwh: float | None = None
    energy_out_meter_kwh: float | None = None
    soc_start_frac: float | None = None
    soc_end_frac: float | None = None
    shared: bool = False
    flags: tuple[str, ...] = ()
    logger: str = "car"


@dataclass(frozen=True)
class Session:
    """One drive, charge, export or rest; NaN = unknown. Energies are positive, in and out of the battery apart."""

    session_ref: str
    kind: str  # drive | charge | export | rest
    start_us: int
    end_us: int
    energy_in_battery_kwh: float
    energy_out_battery_kwh: float
    energy_in_meter_kwh: float
    energy_out_meter_kwh: float
    soc_start_frac: float
    soc_end_frac: float
    soc_inferred: bool
    temp_mean_c: float
    plugged: bool
    distance_km: float
    samples: int
    flags: tuple[str, ...] = ()

    @property
    def hours(self) -> float:
        """Length of the session. [h]"""
        return (self.end_us - self.start_us) / US_PER_HOUR

    def session_id(self, vehicle_id: str, again: int = 0) -> str:
        """Hash of vehicle, kind and start: the same session bears the same name every night."""
        text = f"{vehicle_id}|{self.kind}|{self.start_us}|{self.session_ref}" + (f"|{again}" if again else "")
        return "s" + hashlib.sha256(text.encode()).hexdigest()[:15]


def session_ids(sessions: list[Session], vehicle_id: str) -> list[str]:
    """Names of a vehicle's sessions; those of one kind, start and name of the log's are numbered in their order.

    A drive of a single sample at the edge of a gap that holds a drive begins when that one does.
    """
    seen: Counter[tuple[str, int, str]] = Counter()
    out: list[str] = []
    for s in sessions:
        key = (s.kind, s.start_us, s.session_ref)
        out.append(s.session_id(vehicle_id, seen[key]))
        seen[key] += 1
    return out


@dataclass(frozen=True)
class Finding:
    """One quality rule that touched rows: how many rows and named sessions, and up to five places to look."""

    rule: str
    rows: int
    example: str
    sessions: int = 0
    examples: tuple[str, ...] = ()


def finding(rule: str, samples: Samples, hit: BoolArray) -> list[Finding]:
    """One finding with the first samples hit as examples (one a run of hits), none where nothing was hit."""
    at = np.flatnonzero(hit)
    if at.shape[0] == 0:
        return []
    begins = at[np.concatenate(([True], np.diff(at) > 1))][:EXAMPLES]
    examples = tuple(stamp(int(t)) for t in samples.time_us[begins])
    refs = samples.ref[at]
    return [Finding(rule, int(at.shape[0]), examples[0], int(np.unique(refs[refs >= 0]).shape[0]), examples)]


def merged(found: list[Finding]) -> list[Finding]:
    """Findings with one entry a rule, in order of the rule."""
    out: dict[str, Finding] = {}
    for f in found:
        old = out.get(f.rule)
        if old is not None:
            examples = (old.examples + f.examples)[:EXAMPLES]
            f = Finding(f.rule, old.rows + f.rows, old.example, old.sessions + f.sessions, examples)
        out[f.rule] = f
    return [out[name] for name in sorted(out)]


@dataclass(frozen=True)
class Rules:
    """The numbers of ``parameters/history.toml`` by group and name, and a version by content."""

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    version: str = ""

    def __call__(self, group: str, name: str) -> float:
        return self.values[group][name]


def rules(home: Path | None = None) -> Rules:
    """Read the rules (packaged, or those of a home)."""
    entries = parameters.load("history", home)
    values = {g: {n: e.number(n) for n in e.parameters} for g, e in entries.items()}
    version = hashlib.sha256("".join(entries[g].sha256 for g in sorted(entries)).encode()).hexdigest()[:16]
    return Rules(values, version)


def stamp(time_us: int) -> str:
    """A time as text for an example, to the second."""
    return str(np.datetime64(time_us // US_PER_S, "s")) + "Z"


def runs_of(*columns: NDArray[np.generic]) -> IntArray:
    """Number of the run of equal rows each element belongs to, counted from 0, shape (n,)."""
    n = columns[0].shape[0]
    change = np.zeros(n, dtype=bool)
    for c in columns:
        change[1:] |= c[1:] != c[:-1]
    return np.cumsum(change).astype(np.int64)


@njit(cache=True, nogil=True)
def _all_typed(state, current, power, small):  # pragma: no cover
    """Whether every sample has a state and no current is against it."""
    for i in range(state.shape[0]):
        if state[i] == UNKNOWN:
            return False
        if state[i] == Use.CHARGE and current[i] < -small and not power[i] > 0.0:
            return False
        if state[i] == Use.EXPORT and current[i] > small and not power[i] < 0.0:
            return False
    return True


def typed_states(samples: Samples, capacity_ah: float, rule: Rules) -> tuple[NDArray[np.int8], list[Finding]]:
    """State of every sample: as logged, else by meter and current; the sign of the current corrects charge and export.

    A run of two or more samples labelled ``charge`` while the battery is discharged (and the meter does not say
    otherwise) is an export, and the other way round.
    """
    small = rule("cut", "rest_c_rate") * capacity_ah
    if _all_typed(samples.state, samples.current_a, samples.power_kw, small):
        return samples.state, []
    state = samples.state.copy()
    current = np.nan_to_num(samples.current_a)
    power = np.nan_to_num(samples.power_kw)
    unknown = state == UNKNOWN
    found: list[Finding] = []
    if unknown.any():
        guess = np.where(current < 0, Use.DRIVE, Use.CHARGE).astype(np.int8)
        regen = np.zeros(samples.size, dtype=bool)
        if samples.size > 1:
            near = np.diff(samples.time_us) < 60 * US_PER_S
            regen[1:] |= near & (current[:-1] < -small)
            regen[:-1] |= near & (current[1:] < -small)
        guess[(current > 0) & regen] = Use.DRIVE
        guess[np.abs(current) < small] = Use.REST
        guess[power > 0.05] = Use.CHARGE
        guess[power < -0.05] = Use.EXPORT
        state[unknown] = guess[unknown]
        first = int(np.flatnonzero(unknown)[0])
        found.append(Finding("state_inferred", int(unknown.sum()), stamp(int(samples.time_us[first]))))
    for labelled, true, wrong in (
        (Use.CHARGE, Use.EXPORT, (current < -small) & (power <= 0)),
        (Use.EXPORT, Use.CHARGE, (current > small) & (power >= 0)),
    ):
        hit = (state == labelled) & wrong
        pair = np.zeros(samples.size, dtype=bool)
        pair[1:] |= hit[1:] & hit[:-1]
        pair[:-1] |= hit[1:] & hit[:-1]
        if pair.any():
            state[pair] = true
            first = int(np.flatnonzero(pair)[0])
            found.append(Finding("sign_disagrees", int(pair.sum()), stamp(int(samples.time_us[first]))))
    return state, found


@dataclass(frozen=True, eq=False)
class Runs:
    """Accepted samples cut into runs of one use.

    Parameters
    ----------
    index
        Accepted samples, indices into the samples, shape (m,).
    run, use
        Run of each accepted sample, shape (m,); use of each run, shape (r,).
    joined
        Whether the interval to the next accepted sample is integrated (no gap), shape (m - 1,).
    first, last
        First and last accepted sample of each run, positions in ``index``, shape (r,).
    """

    index: IntArray
    run: IntArray
    use: NDArray[np.int8]
    joined: BoolArray
    first: IntArray
    last: IntArray

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """What the accepted samples have of a column of the samples, shape (m,); the column itself where all are."""
        return values if self.index.shape[0] == values.shape[0] else values[self.index]


@njit(cache=True, nogil=True)
def _cut(
    time_us, volt, current, state, ref, small, rest_us, active_us, index, run, use, joined, first, last
):  # fmt: skip  # pragma: no cover
    """How many samples are accepted, and how many runs there are."""
    m = r = 0
    before = -1
    for i in range(time_us.shape[0]):
        if not (np.isfinite(volt[i]) and np.isfinite(current[i])):
            continue
        new = True
        if before >= 0:
            rest = state[i] == Use.REST or state[before] == Use.REST
            still = rest and abs(current[i]) < small and abs(current[before]) < small
            near = time_us[i] - time_us[before] <= (rest_us if still else active_us)
            joined[m - 1] = near
            new = not near or state[i] != state[before] or ref[i] != ref[before]
        if new:
            use[r], first[r] = state[i], m
            r += 1
        index[m], run[m], last[r - 1] = i, r - 1, m
        m += 1
        before = i
    return m, r


def cut(samples: Samples, state: NDArray[np.int8], capacity_ah: float, rule: Rules) -> Runs:
    """Cut accepted samples by state, session name and gaps.

    A gap is longer than half an hour, or four hours where no current flows at either end and one of them is a rest.
    """
    n = samples.size
    index, run, first, last = (np.empty(n, np.int64) for _ in range(4))
    use, joined = np.empty(n, np.int8), np.empty(n, np.bool_)
    m, r = _cut(
        samples.time_us, samples.voltage_v, samples.current_a, state, samples.ref,
        rule("cut", "rest_c_rate") * capacity_ah, int(rule("cut", "gap_rest_hours") * US_PER_HOUR),
        int(rule("cut", "gap_active_minutes") * 60 * US_PER_S), index, run, use, joined, first, last,
    )  # fmt: skip
    return Runs(index[:m], run[:m], use[:r].copy(), joined[: max(m - 1, 0)], first[:r].copy(), last[:r].copy())
