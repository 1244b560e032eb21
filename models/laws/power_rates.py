"""Rates of the semi-empirical laws: one function a published form, its parameters read from ``laws_power.toml``.

A calendar rate k has the unit 1/d**p, a cycling rate 1/x**p with x the throughput the source counts in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from models.domain import FloatArray
from models.laws.vector_math import exp, power
from models.parameters import Entry, ParameterError

GAS_CONSTANT = 8.314462618
_F = TypeVar("_F")
CalendarRate = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
"""(temperature [K], cell SOC [1], open-circuit voltage [V]) -> k."""
CyclingRate = Callable[[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]
"""(depth [1], rms voltage [V], C-rate [1/h], temperature [K], mean SOC [1]) -> k."""


def graphite_potential_v(cell_soc_frac: FloatArray) -> FloatArray:
    """Potential of a graphite anode against lithium [V] at a cell's state of charge.

    References
    ----------
    Safari and Delacourt, J. Electrochem. Soc. 158 (2011) A562, doi 10.1149/1.3567007; stoichiometry window 0.0085 to
    0.78 as in NREL/BLAST-Lite.
    """
    x = 8.5e-3 + np.clip(cell_soc_frac, 0.0, 1.0) * (0.78 - 8.5e-3)
    return (
        0.6379
        + 0.5416 * np.exp(-305.5309 * x)
        + 0.044 * np.tanh(-(x - 0.1958) / 0.1088)
        - 0.1978 * np.tanh((x - 1.0571) / 0.0854)
        - 0.6875 * np.tanh((x + 0.0117) / 0.0529)
        - 0.0175 * np.tanh((x - 0.5692) / 0.0875)
    )


def arrhenius_soc(entry: Entry) -> CalendarRate:
    """Calendar: k = k25 exp(-Ea/R (1/T - 1/298.15)) (1 + a (SOC - 0.5) + b (SOC - 0.5)^3)."""
    k25, ea = entry.number("calendar_k25"), entry.number("calendar_activation_j_per_mol")
    a, b = entry.number("calendar_soc_linear"), entry.number("calendar_soc_cubic")

    def rate(temp_k: FloatArray, soc: FloatArray, volt: FloatArray) -> FloatArray:
        s = np.clip(soc, 0.0, 1.0) - 0.5
        return k25 * np.exp(-ea / GAS_CONSTANT * (1.0 / temp_k - 1.0 / 298.15)) * np.maximum(1.0 + a * s + b * s**3, 0)

    return rate


def voltage_arrhenius(entry: Entry) -> CalendarRate:
    """Calendar: k = (a V - b) exp(-c/T), never negative."""
    a, b, c = (entry.number(f"calendar_{n}") for n in ("voltage_slope", "voltage_offset", "activation_k"))

    def rate(temp_k: FloatArray, soc: FloatArray, volt: FloatArray) -> FloatArray:
        return np.maximum(a * volt - b, 0.0) * np.exp(-c / temp_k)

    return rate


def soc_arrhenius(entry: Entry) -> CalendarRate:
    """Calendar: k = a exp(-b/T) exp(c SOC/T)."""
    a, b, c = (entry.number(f"calendar_{n}") for n in ("prefactor", "activation_k", "soc_k"))

    def rate(temp_k: FloatArray, soc: FloatArray, volt: FloatArray) -> FloatArray:
        return a * np.exp((c * np.clip(soc, 0.0, 1.0) - b) / temp_k)

    return rate


def _arrhenius(temp_k: FloatArray, activation_j_per_mol: float) -> FloatArray:
    return exp(-activation_j_per_mol / GAS_CONSTANT * (1.0 / temp_k - 1.0 / 298.15))


def _cube(x: FloatArray) -> FloatArray:
    return x * x * x  # numpy takes its general power for a cube, thirty times as long


def soc_polynomial_arrhenius(entry: Entry) -> CalendarRate:
    """Calendar: k = A(Ea) (c0 + c1 s + c2 s^2 + c3 s^3 + c4 s T + c5 max(0, T - 328.15)), never negative.

    A is Arrhenius's factor about 298.15 K, s the state of charge, T in kelvin.
    """
    c, ea = [entry.number(f"calendar_c{i}") for i in range(6)], entry.number("calendar_activation_j_per_mol")

    def rate(temp_k: FloatArray, soc: FloatArray, volt: FloatArray) -> FloatArray:
        s = np.clip(soc, 0.0, 1.0)
        k = c[0] + s * (c[1] + s * (c[2] + s * c[3]) + c[4] * temp_k) + c[5] * np.maximum(temp_k - 328.15, 0.0)
        return _arrhenius(temp_k, ea) * np.maximum(k, 0.0)

    return rate


def potential_arrhenius(entry: Entry) -> CalendarRate:
    """Calendar: k = a exp(-b/T) exp(-c Ua/T), Ua the graphite's potential."""
    a, b, c = (entry.number(f"calendar_{n}") for n in ("prefactor", "activation_k", "potential_k_per_v"))

    def rate(temp_k: FloatArray, soc: FloatArray, volt: FloatArray) -> FloatArray:
        return a * np.exp(-(b + c * graphite_potential_v(soc)) / temp_k)

    return rate


def potential_soc_sum(entry: Entry) -> CalendarRate:
    """Calendar: k = c0 + c1 exp(TN^3 u^(-1/3)) + c2 TN^3 u^(-1/2) + c3 exp(SOC^(1/2) / TN^2) + c4 exp(SOC^3).

    TN = T / 308.15 K and u = Ua / 0.123 V; never negative; days counted in units of 1e4.
    """
    c, p = [entry.number(f"calendar_c{i}") for i in range(5)], entry.number("calendar_exponent")

    def rate(temp_k: FloatArray, soc: FloatArray, volt: FloatArray) -> FloatArray:
        s = np.clip(soc, 0.0, 1.0)
        u, cube = graphite_potential_v(s) / 0.123, (temp_k / 308.15) ** 3
        k = c[0] + c[1] * np.exp(cube * np.power(u, -1.0 / 3.0)) + c[2] * cube / np.sqrt(u)
        k = k + c[3] * np.exp(np.sqrt(s) * np.power(cube, -2.0 / 3.0)) + c[4] * np.exp(s**3)
        return 1e4**-p * np.maximum(k, 0.0)

    return rate


def anode_potential(entry: Entry) -> CalendarRate:
    """Calendar: k = a exp(-b (Ua/0.123)^(1/3) / TN^3), TN = T / 308.15 K, days counted in units of 1e4."""
    a, b, p = (entry.number(n) for n in ("calendar_prefactor", "calendar_potential", "calendar_exponent"))

    def rate(temp_k: FloatArray, soc: FloatArray, volt: FloatArray) -> FloatArray:
        ua = graphite_potential_v(soc) / 0.123
        return a * 1e4**-p * np.exp(-b * np.cbrt(ua) / (temp_k / 308.15) ** 3)

    return rate


def depth_rate(entry: Entry) -> CyclingRate:
    """Cycling: k = k1 DOD^n C^c per 1,000 full cycles, C held within the fitted range."""
    k1, n, c, p = (entry.number(f"cycling_{x}") for x in ("k1", "depth_exponent", "rate_exponent", "exponent"))
    low, high = entry["valid_c_rate_per_h"].value

    def rate(
        depth: FloatArray, volt: FloatArray, c_rate: FloatArray, temp_k: FloatArray, soc: FloatArray
    ) -> FloatArray:
        return k1 * 1e3**-p * power(depth, n) * power(np.clip(c_rate, low, high), c)

    return rate


def voltage_depth(entry: Entry) -> CyclingRate:
    """Cycling: k = a (V - b)^2 + c + d DOD, never negative; throughput in A.h of the tested cell."""
    a, b, c, d = (entry.number(f"cycling_{x}") for x in ("voltage_square", "voltage_best", "offset", "depth_slope"))
    p, ah = entry.number("cycling_exponent"), entry.number("cell_ah")

    def rate(
        depth: FloatArray, volt: FloatArray, c_rate: FloatArray, temp_k: FloatArray, soc: FloatArray
    ) -> FloatArray:
        return (2.0 * ah) ** p * np.maximum(a * (volt - b) ** 2 + c + d * depth, 0.0)

    return rate


def depth_temperature_rate(entry: Entry) -> CyclingRate:
    """Cycling: k = a (DOD^2 TN^3 C^0.5)^b, TN = T / 308.15 K, full cycles counted in units of 1e5."""
    a, b, p = (entry.number(f"cycling_{x}") for x in ("prefactor", "stress_exponent", "exponent"))

    def rate(
        depth: FloatArray, volt: FloatArray, c_rate: FloatArray, temp_k: FloatArray, soc: FloatArray
    ) -> FloatArray:
        return a * 1e5**-p * power(depth * depth * _cube(temp_k / 308.15) * np.sqrt(c_rate), b)

    return rate


def depth_rate_sum(entry: Entry) -> CyclingRate:
    """Cycling: k = (a + b DOD + c C) (exp(d/T) + exp(-e/T))."""
    a, b, c = (entry.number(f"cycling_{x}") for x in ("offset", "depth_slope", "rate_slope"))
    cold, hot = entry.number("cycling_cold_k"), entry.number("cycling_hot_k")

    def rate(
        depth: FloatArray, volt: FloatArray, c_rate: FloatArray, temp_k: FloatArray, soc: FloatArray
    ) -> FloatArray:
        return (a + b * depth + c * c_rate) * (exp(cold / temp_k) + exp(-hot / temp_k))

    return rate


def depth_arrhenius(entry: Entry) -> CyclingRate:
    """Cycling: k = a exp(-b/T) exp(c exp(DOD^2)), whatever the current."""
    a, b, c = (entry.number(f"cycling_{x}") for x in ("prefactor", "activation_k", "depth_stress"))

    def rate(
        depth: FloatArray, volt: FloatArray, c_rate: FloatArray, temp_k: FloatArray, soc: FloatArray
    ) -> FloatArray:
        return a * exp(c * exp(depth * depth) - b / temp_k)

    return rate


def rate_temperature(entry: Entry) -> CyclingRate:
    """Cycling: k = a exp(b C^3) exp(c TN^3 C^(1/2)), TN = T / 308.15 K, C held within the tested range.

    Depth has no say; full cycles are counted in units of 1e4.
    """
    a, b, c, p = (entry.number(f"cycling_{x}") for x in ("prefactor", "rate_cubic", "rate_root", "exponent"))
    high = entry.number("cycling_rate_limit_per_h")

    def rate(
        depth: FloatArray, volt: FloatArray, c_rate: FloatArray, temp_k: FloatArray, soc: FloatArray
    ) -> FloatArray:
        held = np.minimum(c_rate, high)
        return a * 1e4**-p * exp(b * _cube(held) + c * _cube(temp_k / 308.15) * np.sqrt(held))

    return rate


def storage_times_stress(entry: Entry) -> CyclingRate:
    """Cycling: k = k_cal (max(0, a A(E1) (DOD C)^(1/2) (1 + b s) - c) + d A(E2) DOD^6) e, s the mean SOC.

    k_cal is the storage rate at s; A(E) is Arrhenius's factor about 298.15 K.
    """
    storage = calendar_rate(entry)
    a, b, c, d, e = (entry.number(f"cycling_{x}") for x in ("stress", "soc", "threshold", "deep", "scale"))
    ea_stress, ea_deep = (entry.number(f"cycling_{x}_activation_j_per_mol") for x in ("stress", "deep"))

    def rate(
        depth: FloatArray, volt: FloatArray, c_rate: FloatArray, temp_k: FloatArray, soc: FloatArray
    ) -> FloatArray:
        stress = a * _arrhenius(temp_k, ea_stress) * np.sqrt(depth * c_rate) * (1.0 + b * soc)
        deep = d * _arrhenius(temp_k, ea_deep) * _cube(depth * depth)
        return e * storage(temp_k, soc, volt) * (np.maximum(stress - c, 0.0) + deep)

    return rate


_CALENDAR = {
    f.__name__: f
    for f in (
        arrhenius_soc,
        voltage_arrhenius,
        anode_potential,
        soc_arrhenius,
        potential_arrhenius,
        potential_soc_sum,
        soc_polynomial_arrhenius,
    )
}
_CYCLING = {
    f.__name__: f
    for f in (
        depth_rate,
        voltage_depth,
        depth_temperature_rate,
        depth_rate_sum,
        depth_arrhenius,
        rate_temperature,
        storage_times_stress,
    )
}


_SYMBOLS = {
    "arrhenius_soc": ("k25", "Ea activation_j_per_mol", "a soc_linear", "b soc_cubic"),
    "voltage_arrhenius": ("a voltage_slope", "b voltage_offset", "c activation_k"),
    "soc_arrhenius": ("a prefactor", "b activation_k", "c soc_k"),
    "soc_polynomial_arrhenius": ("Ea activation_j_per_mol", "c0", "c1", "c2", "c3", "c4", "c5"),
    "potential_arrhenius": ("a prefactor", "b activation_k", "c potential_k_per_v"),
    "potential_soc_sum": ("c0", "c1", "c2", "c3", "c4"),
    "anode_potential": ("a prefactor", "b potential"),
    "depth_rate": ("k1", "n depth_exponent", "c rate_exponent"),
    "voltage_depth": ("a voltage_square", "b voltage_best", "c offset", "d depth_slope"),
    "depth_temperature_rate": ("a prefactor", "b stress_exponent"),
    "depth_rate_sum": ("a offset", "b depth_slope", "c rate_slope", "d cold_k", "e hot_k"),
    "depth_arrhenius": ("a prefactor", "b activation_k", "c depth_stress"),
    "rate_temperature": ("a prefactor", "b rate_cubic", "c rate_root"),
    "storage_times_stress": (
        *("a stress", "b soc", "c threshold", "d deep", "e scale"),
        *("E1 stress_activation_j_per_mol", "E2 deep_activation_j_per_mol"),
    ),
}
"""Letters of each equation and the parameters they stand for, so that a page can give their values."""


class _Rate:
    """A rate with the parameters it is made of: a process that it is handed to makes it again."""

    def __init__(self, form: Callable[[Entry], Callable[..., FloatArray]], entry: Entry) -> None:
        self._form, self._entry, self._rate = form, entry, form(entry)

    def __call__(self, *conditions: FloatArray) -> FloatArray:
        return self._rate(*conditions)

    def __reduce__(self) -> tuple[type[_Rate], tuple[Callable[[Entry], Callable[..., FloatArray]], Entry]]:
        return _Rate, (self._form, self._entry)


def calendar_rate(entry: Entry) -> CalendarRate:
    """The calendar rate an entry names in ``calendar_form``.

    Raises
    ------
    ParameterError
        There is no such form.
    """
    return _Rate(_form(_CALENDAR, entry, "calendar_form"), entry)


def cycling_rate(entry: Entry) -> CyclingRate:
    """The cycling rate an entry names in ``cycling_form``.

    Raises
    ------
    ParameterError
        There is no such form.
    """
    return _Rate(_form(_CYCLING, entry, "cycling_form"), entry)


def _form(forms: dict[str, Callable[[Entry], _F]], entry: Entry, key: str) -> Callable[[Entry], _F]:
    name = entry.text(key)
    if name not in forms:
        raise ParameterError(
            f"{entry.file}: [{entry.entry_id}.{key}] must be one of {', '.join(sorted(forms))}, got '{name}'."
        )
    return forms[name]


def equations(entry: Entry) -> tuple[str, ...]:
    """Equations of an entry's two rates with the values of their letters, and how they add up.

    The equations are the first lines of their functions' docstrings.

    Raises
    ------
    ParameterError
        There is no such form.
    """
    out = []
    calendar, cycling = _form(_CALENDAR, entry, "calendar_form"), _form(_CYCLING, entry, "cycling_form")
    for term, form, x in (("calendar", calendar, "days"), ("cycling", cycling, "full cycles")):
        said = (form.__doc__ or "").partition("\n")[0].rstrip(".")
        out.append(f"{said}; loss = k ({x})^{entry.number(f'{term}_exponent'):g}")
        values = []
        for symbol in _SYMBOLS[form.__name__]:
            letter, _, name = symbol.partition(" ")
            p = entry[f"{term}_{name or letter}"]
            values.append(f"{letter} = {p.value:g}" + ("" if p.unit == "1" else f" {p.unit}"))
        out.append(f"{term.capitalize()}: {', '.join(values)}")
    if "Ua" in out[0]:
        out.append("Ua: potential of graphite, Safari and Delacourt 2011, doi 10.1149/1.3567007 [V]")
    return (*out, "T in kelvin, C-rate C in 1/h, SOC and DOD from 0 to 1; capacity = 1 - both losses")
