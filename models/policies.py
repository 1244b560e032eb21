"""Export policies, chargers and tariffs as data: read, checked, told in one clear sentence what is wrong."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path

from models.domain import BASELINE_POLICY, Charger, Limits, Policy, Tariff
from models.parameters import Entry, ParameterError, entry, load

AS_DRIVEN = "as_driven"
AS_DRIVEN_NO_EXPORT = "as_driven_no_export"
RESERVED = {
    AS_DRIVEN: (AS_DRIVEN, AS_DRIVEN),
    AS_DRIVEN_NO_EXPORT: (AS_DRIVEN, "none"),
    BASELINE_POLICY: ("smart", "none"),
    "no_export_immediate": ("immediate", "none"),
}
CHARGING_RULES = ("immediate", "smart", AS_DRIVEN)
EXPORT_RULES = ("none", "outage", "peak", "solar", "arbitrage", AS_DRIVEN)
CAPS = ("soc_floor_frac", "export_kw", "export_kwh_per_day", "export_hours_per_day", "export_kwh_per_year")
_LIMITS = tuple(f.name for f in fields(Limits))
_KEYS = {"charging", "export", "description", "caps", "uncapped_policy_id", *_LIMITS}
CAP_WORDS = {
    "soc_floor_frac": "not below {:.0%} charge",
    "export_kw": "at most {:g} kW",
    "export_kwh_per_day": "at most {:g} kWh a day",
    "export_hours_per_day": "at most {:g} hours a day",
    "export_kwh_per_year": "at most {:g} kWh a year",
}


def policies(home: Path | None = None) -> tuple[Policy, ...]:
    """All policies in the order of the files: packaged ones, then those added under the home.

    Raises
    ------
    ParameterError
        A policy is wrong (see `check_policy`), names an unknown policy as its uncapped twin, differs from it in more
        than its caps, or a policy that everything is compared with is missing.
    """
    out = tuple(_policy(e) for e in load("policies", home).values())
    by_id = {p.policy_id: p for p in out}
    for name, rule in RESERVED.items():
        if name in by_id and (by_id[name].charging, by_id[name].export) != rule:
            raise ParameterError(
                f"Policy '{name}' is what others are compared with: its charging and export must stay "
                f"'{rule[0]}' and '{rule[1]}'; give your policy a name of its own."
            )
    for name in (AS_DRIVEN, BASELINE_POLICY):
        if name not in by_id:
            raise ParameterError(f"policies.toml: the policy '{name}' is missing; everything is compared with it.")
    for p in out:
        check_policy(p)
        if p.caps:
            _check_twin(p, by_id)
    return out


def policy(policy_id: str, home: Path | None = None) -> Policy:
    """One policy.

    Raises
    ------
    ParameterError
        There is none of that name; the message lists those there are.
    """
    known = policies(home)
    for p in known:
        if p.policy_id == policy_id:
            return p
    raise ParameterError(f"No policy named '{policy_id}'; there are: {', '.join(p.policy_id for p in known)}.")


def check_policy(p: Policy) -> None:
    """Refuse a policy that makes no sense.

    Raises
    ------
    ParameterError
        In one sentence: which policy, which key, what was expected.
    """
    where = f"Policy '{p.policy_id}'"
    lim = p.limits
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", p.policy_id):
        raise ParameterError(f"{where}: a name is made of small letters, digits and _, and begins with a letter.")
    if p.charging not in CHARGING_RULES:
        raise ParameterError(f"{where}: charging must be one of {', '.join(CHARGING_RULES)}, got '{p.charging}'.")
    if p.export not in EXPORT_RULES:
        raise ParameterError(f"{where}: export must be one of {', '.join(EXPORT_RULES)}, got '{p.export}'.")
    if (p.charging == AS_DRIVEN, p.export) not in {(True, AS_DRIVEN), (True, "none")} and AS_DRIVEN in (
        p.charging,
        p.export,
    ):
        raise ParameterError(
            f"{where}: charging and export are both '{AS_DRIVEN}' or neither; only export 'none' goes with it, too."
        )
    if not 0 <= lim.soc_floor_frac < lim.soc_ceiling_frac <= 1:
        raise ParameterError(
            f"{where}: needs 0 <= soc_floor_frac < soc_ceiling_frac <= 1, "
            f"got {lim.soc_floor_frac:g} and {lim.soc_ceiling_frac:g}."
        )
    for name in ("export_kw", "export_kwh_per_day", "export_hours_per_day", "export_kwh_per_year"):
        value = getattr(lim, name)
        if value is not None and not value > 0:
            raise ParameterError(f"{where}: {name} must be above 0, got {value:g}; leave it out for no such limit.")
    if lim.export_hours_per_day is not None and lim.export_hours_per_day > 24:
        raise ParameterError(f"{where}: export_hours_per_day cannot exceed 24, got {lim.export_hours_per_day:g}.")
    if not 0 <= lim.driving_reserve_kwh < 1000:
        raise ParameterError(
            f"{where}: driving_reserve_kwh must lie within 0 and 1000, got {lim.driving_reserve_kwh:g}."
        )
    for cap in p.caps:
        if cap not in CAPS:
            raise ParameterError(f"{where}: caps may name {', '.join(CAPS)}; got '{cap}'.")
        if getattr(lim, cap) is None:
            raise ParameterError(f"{where}: names the cap {cap} but gives no such limit.")
    if bool(p.caps) != bool(p.uncapped_policy_id):
        raise ParameterError(f"{where}: caps and uncapped_policy_id belong together; give both or none.")


def export_reference(p: Policy, known: Collection[str]) -> str:
    """Policy that charges as this one does but never exports: what the effect of its export alone is told against.

    >>> export_reference(Policy("x", "X", "smart", "peak", Limits()), {"no_export_smart"})
    'no_export_smart'
    """
    if p.export == "none":
        return p.policy_id
    reference = {AS_DRIVEN: AS_DRIVEN_NO_EXPORT, "immediate": "no_export_immediate"}.get(p.charging, BASELINE_POLICY)
    return reference if reference in known else BASELINE_POLICY


def cap_words(p: Policy) -> str:
    """The caps of a policy in words, empty where it has none.

    >>> cap_words(Policy("x", "X", "smart", "peak", Limits(export_kw=1.5), ("export_kw",), "evening_peak"))
    'at most 1.5 kW'
    """
    return ", ".join(CAP_WORDS[c].format(getattr(p.limits, c)) for c in p.caps)


def charger(charger_id: str, home: Path | None = None) -> Charger:
    """A charger of ``chargers.toml``.

    Raises
    ------
    ParameterError
        It is unknown, or a power or efficiency makes no sense.
    """
    e = entry("chargers", charger_id, home)
    out = Charger(charger_id, *(e.number(f.name) for f in fields(Charger)[1:]))
    where = f"{e.file}: [{charger_id}]"
    if not (0 < out.charge_efficiency_frac <= 1 and 0 < out.export_efficiency_frac <= 1):
        raise ParameterError(f"{where} efficiencies must lie above 0 and not above 1.")
    if min(out.standby_kw, out.min_export_kw, out.export_kw) < 0 or out.charge_kw <= out.standby_kw:
        raise ParameterError(f"{where} powers must not be negative, and charge_kw must exceed standby_kw.")
    return out


def tariff(tariff_id: str, home: Path | None = None) -> Tariff:
    """A tariff of ``tariffs.toml``, prices of its periods spread to the 24 local hours.

    Raises
    ------
    ParameterError
        It is unknown, its periods leave an hour without a price, or a list of hours is wrong.
    """
    e = entry("tariffs", tariff_id, home)
    hours: list[float | None] = [None] * 24
    periods = e["import"].value
    if not isinstance(periods, list) or not all(isinstance(p, list) and len(p) == 3 for p in periods):
        raise ParameterError(f"{e.file}: [{tariff_id}.import] must be a list of [from, to, price].")
    for begin, end, price in periods:
        for h in range(int(begin), int(end) if end > begin else int(end) + 24):
            hours[h % 24] = float(price)
    missing = [h for h, price in enumerate(hours) if price is None]
    if missing:
        raise ParameterError(f"{e.file}: [{tariff_id}.import] has no price for the hours {missing}.")
    return Tariff(
        tariff_id=tariff_id,
        currency=e.text("currency"),
        import_money_per_kwh=tuple(p for p in hours if p is not None),
        feed_in_money_per_kwh=e.number("feed_in"),
        peak_hours=_hours(e, "peak_hours"),
        cheap_hours=_hours(e, "cheap_hours"),
        dynamic=bool(e["dynamic"].value),
        dynamic_markup_money_per_kwh=e.number("dynamic_markup"),
    )


def _hours(e: Entry, name: str) -> tuple[int, ...]:
    value = e[name].value
    if not isinstance(value, list) or not all(isinstance(h, int) and 0 <= h <= 23 for h in value):
        raise ParameterError(f"{e.file}: [{e.entry_id}.{name}] must be a list of hours from 0 to 23, got {value!r}.")
    return tuple(value)


def _policy(e: Entry) -> Policy:
    unknown = set(e.parameters) - _KEYS
    if unknown:
        raise ParameterError(
            f"{e.file}: [{e.entry_id}] has unknown keys {sorted(unknown)}; known are {', '.join(sorted(_KEYS))}."
        )
    limits = Limits(**{name: e.number(name) for name in _LIMITS if name in e.parameters})
    caps = e.get("caps", [])
    if not isinstance(caps, list) or not all(isinstance(c, str) for c in caps):
        raise ParameterError(f"{e.file}: [{e.entry_id}.caps] must be a list of names, got {caps!r}.")
    return Policy(
        policy_id=e.entry_id,
        label=e.label,
        charging=e.text("charging"),
        export=e.text("export"),
        limits=limits,
        caps=tuple(caps),
        uncapped_policy_id=str(e.get("uncapped_policy_id", "")),
        description=str(e.get("description", "")),
    )


def _check_twin(p: Policy, by_id: dict[str, Policy]) -> None:
    where = f"Policy '{p.policy_id}'"
    twin = by_id.get(p.uncapped_policy_id)
    if twin is None:
        raise ParameterError(f"{where}: uncapped_policy_id names '{p.uncapped_policy_id}', which is no policy.")
    differing = [n for n in _LIMITS if n not in p.caps and getattr(p.limits, n) != getattr(twin.limits, n)]
    if (p.charging, p.export) != (twin.charging, twin.export) or differing:
        raise ParameterError(
            f"{where}: may differ from '{twin.policy_id}' only in its caps; "
            f"it also differs in {', '.join(differing) or 'its rules'}."
        )
