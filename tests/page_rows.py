"""Made-up rows for tests of pages and publication: plausible in size and sign, but nobody's results."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np

from models.domain import Contract, Home, Limits, Policy, Vehicle
from reports import rows as r
from reports import rows_fleet as rf
from reports.fleet import STANDINGS

AS_OF = date(2025, 3, 31)
LAWS = {"sei_ec": "SEI, reaction limited", "sei_interstitial": "SEI, interstitial", "nmc_power": "Schmalstieg 2014"}
RULES = ("samples|stuck_record|Stuck|left out|Repeated.|own", "samples|bad_number|No number|rejected|Else.|own")
CONTRACT = Contract(
    "common_oem_70",
    "Common battery warranty: 70 %, 8 years or 160,000 km",
    0.7,
    8.0,
    160_000.0,
    "soh",
    *(None, None, None),
    "UN GTR 22, para 32",
    "seen",
)
_POLICIES = (
    ("as_driven", "As until now", "as_driven", 1.0, 0.0),
    ("no_export_smart", "No export, charged just in time", "none", 0.0, 0.0),
    ("no_export_immediate", "No export, charged at once", "none", 1.6, -20.0),
    ("backup_only", "Backup in outages", "outage", 0.02, 0.0),
    ("evening_peak", "Evening peak", "peak", 1.3, 260.0),
    ("solar_self_use", "Own sun", "solar", 0.5, 180.0),
    ("arbitrage", "Buy low, use high", "arbitrage", 2.1, 390.0),
    ("evening_peak_floor_60", "Evening peak, not below 60 %", "peak", 0.7, 190.0),
    ("evening_peak_1_kw", "Evening peak, at most 1 kW", "peak", 0.6, 150.0),
    ("evening_peak_2_kwh_day", "Evening peak, at most 2 kWh a day", "peak", 0.4, 110.0),
)
POLICIES = {
    p: Policy(
        p,
        label,
        "smart",
        export,
        Limits(),
        ("soc_floor_frac",) if p.startswith("evening_peak_") else (),
        "evening_peak" if p.startswith("evening_peak_") else "",
        f"{label}: what it does, in one short sentence.",
    )
    for p, label, export, _, _ in _POLICIES
}


def vehicle(i: int, standing: str = "measured", export: bool = True, label: str = "", years: int = 10) -> r.VehicleData:
    """One vehicle with everything a page shows."""
    g = np.random.default_rng(i)
    name = f"v{i:012x}"
    age = round(1.5 + 4 * float(g.random()), 2)
    soh = 1 - 0.02 * age - 0.03 * float(g.random())
    spread = 0.012 if standing == "measured" else 0.045
    cohort = f"nmc811_lgm50.{('mild', 'cold')[i % 2]}"
    km = 13_000 * age
    exported = 900.0 * age if export else 0.0
    v = Vehicle(
        name,
        "demo_nmc_60",
        "nmc811_lgm50",
        62.0,
        58.0,
        58.0,
        date(2022, 3, 1),
        date(2022, 5, 1),
        "DE",
        "common_oem_70",
        165.0,
        185.0,
        f"h{i:012x}",
        "1.0",
        38_000.0,
        "EUR",
        cohort,
        ("list_price_money", "consumption_wh_per_km"),
    )
    home = Home(
        v.home_id,
        "DE",
        "Europe/Berlin",
        "tou_de",
        "v2h_10",
        "load1",
        "price1",
        "air1",
        "DE",
        3500.0,
        6.0,
        ("annual_load_kwh",),
    )
    state = r.StateRow(
        name,
        soh,
        soh - spread,
        soh + spread,
        standing,
        datetime(2025, 3, 31, 21, 40),
        26 if standing == "measured" else 0,
        2 if standing == "measured" else 0,
        exported,
        exported / 3,
        exported * 1000 / 185,
        km,
        km - 900,
        km + 900,
        age,
        0.31 * age if export else 0.0,
        0.1 * age if export else 0.0,
        0.7 * age if export else 0.0,
        0.62,
        0.08,
        0.31,
        61.0,
        0.4,
        0.12,
        0.35,
        "stands aside: fewer than 20 vehicles",
        "24 capacity readings of the car; laws sei_ec 1-ab; 2000 draws",
    )
    forecasts, members, warranties, values, settings = [], [], [], [], []
    for k, (p, _, ex, wear, saved) in enumerate(_POLICIES):
        wear = wear * (0.8 + 0.4 * float(g.random())) * (1.0 if p != "as_driven" or export else 0.6)
        for y in range(years + 1):
            d = 0.0 if p == "no_export_smart" else wear * (y / 10) ** 0.8
            w = 0.35 * d + 0.12 * (y > 0) * (p != "no_export_smart") + (0.6 if p == "solar_self_use" and y else 0.0)
            mid = soh - 0.016 * y**0.9 - d / 100
            s = spread + 0.006 * y
            forecasts.append(
                r.ForecastRow(
                    name,
                    p,
                    y,
                    mid - 1.3 * s,
                    mid - 0.6 * s,
                    mid,
                    mid + 0.6 * s,
                    mid + 1.2 * s,
                    d - w,
                    d,
                    d + w,
                    0.8,
                    "24 capacity readings; 3 laws; 2000 draws",
                )
            )
        members += [
            r.MemberRow(name, p, law, years, soh - 0.16, wear * f, 0.1, 0.33)
            for law, f in (("sei_ec", 0.6), ("sei_interstitial", 0.2), ("nmc_power", 2.0))
        ]
        breach = min(0.9, 0.01 + 0.3 * (i % 9 == 0) + 0.02 * wear)
        for contract in ("common_oem_70", "common_oem_70_virtual_km"):
            for schedule, f in (("quarterly", 1.3), ("single", 0.8), ("yearly", 1.0)):
                warranties.append(
                    r.WarrantyRow(
                        name,
                        contract,
                        p,
                        schedule,
                        breach * f,
                        breach * 0.3,
                        min(1.0, breach * 2.1),
                        breach * 0.7,
                        4.2,
                        wear,
                        wear * 0.5,
                        wear * 1.4,
                        8 - age,
                        0.2 * ("virtual" in contract),
                        0.02 * wear,
                        -0.001,
                        5 * exported,
                        0.003,
                        "test error assumed",
                    )
                )
        for y in range(years + 1):
            value = 38_000 * 0.8 ** (age + y)
            values.append(
                r.ValueRow(
                    name,
                    p,
                    y,
                    value,
                    value * 0.7,
                    value * 1.25,
                    -9.0 * wear * y / 10,
                    -30.0 * wear * y / 10,
                    0.0,
                    saved,
                    0.012 if saved else None,
                    0.0 if saved else None,
                    0.04 if saved else None,
                    "EUR",
                    "scenario, never an appraisal",
                )
            )
        settings.append(
            r.PolicyRow(
                name,
                p,
                0.0 if ex == "none" else 900.0,
                300.0,
                60.0 + 5 * k,
                0.6,
                1200.0 - saved,
                12.0,
                9.5,
                3.0,
                0.43 if p.startswith("evening_peak_") else None,
                "not below 60 % charge" if p.startswith("evening_peak_") else None,
                "EUR",
                0.11,
                p == "evening_peak_floor_60",
                "Evening peak: saves 190 EUR a year" if "floor" in p else "sources",
            )
        )
    readings = tuple(
        r.ReadingRow(
            name, 60.0 * (j + 1), "ocv_anchored", float(1 - 0.0009 * 6 * j * 0.3 + 0.006 * g.normal()), 0.011, False
        )
        for j in range(24 if standing == "measured" else 0)
    )
    return r.VehicleData(
        vehicle=v,
        state=state,
        contract=CONTRACT,
        policies=POLICIES,
        vehicle_label=label or "Compact car of the demo, 58 kWh net",
        cell_label="NMC811",
        home=home,
        forecasts=tuple(forecasts),
        members=tuple(members),
        warranties=tuple(warranties),
        values=tuple(values),
        settings=tuple(settings),
        readings=readings,
        fits=fits(cohort),
        conformance=conformance(),
        residuals=residuals(),
        sessions=r.SessionCounts(
            410,
            220,
            180 if export else 0,
            90,
            310 if standing == "inferred" else 0,
            200 if standing == "inferred" else 0,
            0,
            datetime(2024, 4, 1, 6),
            datetime(2025, 3, 31, 21, 40),
        ),
        habits=r.Habits((120, 900, 2500, 3200, 2040), (300, 2100, 3900, 2000, 460), 8100, 660, 8760),
        sources=(("House load and solar", "2016"), ("Prices", "2015–2024"), ("Air temperature", "a typical year")),
        law_labels=LAWS,
        cohort_soh=tuple(0.86 + 0.005 * j for j in range(20)),
        logs_have_export=export,
        simulated=True,
    )


def fits(cohort: str) -> tuple[r.FitRow, ...]:
    """Fits of one cohort: two parameters a law."""
    return tuple(
        r.FitRow(cohort, law, p, 0.0, 0.5, -0.12, -0.4, 0.16, 0.35 + 0.1 * j, 480, 20, 0.33, 0.62 + 0.1 * j, 0.79, "")
        for j, law in enumerate(LAWS)
        for p in ("kinetic", "wear")
    )


def conformance() -> tuple[r.ConformanceRow, ...]:
    """Two runs through PyBaMM."""
    return tuple(
        r.ConformanceRow(
            f"s{j}",
            f"v{j:012x}",
            "evening_peak",
            law,
            "OKane2022",
            14.2,
            31.0,
            0.21,
            0.6,
            90.0,
            0.98765,
            0.98771,
            -0.006 - 0.001 * j,
            -0.005,
            0.1,
            True,
        )
        for j, law in enumerate(("sei_ec", "sei_interstitial"))
    )


def residuals() -> tuple[r.ResidualRow, ...]:
    """The learned correction stands aside."""
    return (r.ResidualRow("fleet", 12, 280, False, "fewer than 20 vehicles with readings", 0.62, 0.6, 1.1, 0.81),)


def fleet(n: int = 40, export: bool = True, years: int = 10) -> rf.FleetData:
    """A fleet of n vehicles: mostly measured, a few inferred or known by type alone."""
    standings = ("measured", "measured", "measured", "inferred", "prior_only")
    vehicles = tuple(vehicle(i, standings[i % 5], export, years=years) for i in range(n))
    cohorts = sorted({v.vehicle.cohort_id for v in vehicles})
    claims = tuple(
        rf.ClaimsRow(
            c,
            "common_oem_70",
            p,
            f"{2025 + q // 4}Q{q % 4 + 1}",
            0.05 * (1 + q * f / 9),
            0.0,
            0.3,
            0.04,
            0.0,
            0.25,
            260.0 * (1 + q * f / 9),
            0.0,
            1800.0,
            9000.0 + 300 * q,
            "USD",
            n // 2,
            0.04,
            "yearly tests",
        )
        for c in cohorts
        for p, f in (("as_driven", 1.0), ("no_export_smart", 0.8), ("arbitrage", 1.4))
        for q in range(40)
    )
    frontier = tuple(
        rf.FrontierRow(
            c,
            p,
            n // 2,
            saved,
            0.0 if ex == "none" else 900.0,
            wear * 0.5 - 0.1,
            wear,
            wear * 1.6 + 0.1,
            0.03 + 0.02 * wear,
            0.43 if p.startswith("evening_peak_") else None,
            "EUR",
        )
        for c in cohorts
        for p, _, ex, wear, saved in _POLICIES
    )
    compliance = tuple(
        rf.ComplianceRow("demo_nmc_60.1.0", p, w, f, n, 0.97, 0.9, 1.0, 0.94, "UN GTR 22")
        for p in ("as_driven", "no_export_smart")
        for w, f in (("five_years", 0.8), ("eight_years", 0.7))
    )
    kpi = [
        ("vehicles", n, None, None, "vehicles"),
        *((f"vehicles_{s}", k, None, None, "vehicles") for s, k in zip(STANDINGS, (24, 8, 8), strict=True)),
        ("soh_median", 0.912, 0.88, 0.95, "1"),
        ("export_kwh_so_far", 31_240.0, None, None, "kWh"),
        ("expected_breaches_as_driven", 2.31, 0.0, 5.0, "vehicles"),
        ("expected_claims_as_driven", 1.85, 0.0, 4.0, "vehicles"),
        ("claims_cost_as_driven", 14_800.0, 0.0, 33_000.0, "USD"),
        ("claims_reserve_as_driven", 61_000.0, None, None, "USD"),
        ("v2h_effect_pp", 1.31, -0.2, 3.1, "pp"),
    ]
    return rf.FleetData(
        as_of_day=AS_OF,
        vehicles=vehicles,
        policies=POLICIES,
        kpis=tuple(rf.KpiRow(AS_OF, k, v, a, b, u, "10 and 90 % of vehicles" if a else "") for k, v, a, b, u in kpi),
        claims=claims,
        compliance=compliance,
        frontier=frontier,
        files=(
            rf.FileRow("a.csv", "fadecast_samples", "samples", "loaded", 90_000, 89_000, 40, 960, None),
            rf.FileRow("b.csv", "fadecast_sessions", "sessions", "loaded", 9_000, 9_000, 0, 0, None),
            rf.FileRow("c.csv", "fadecast_samples", "samples", "refused", 12, 0, 12, 0, "No column 'time'."),
        ),
        rules=tuple(rf.RuleRow(*row.split("|"), 311, 4, 7, (rf.Place("line 17", "v0"),)) for row in RULES),
        fits=tuple(f for c in cohorts for f in fits(c)),
        conformance=conformance(),
        residuals=residuals(),
        law_labels=LAWS,
        unregistered=1,
        soc_inferred_sessions=0,
        sessions=36_000,
        export_sessions=7_200 if export else 0,
        simulated=True,
    )


def hostile() -> dict[str, Any]:
    """Strings that must never reach a page unescaped."""
    bad = "<script>alert(1)</script>\"'&<b>"
    return {"vehicle_label": bad, "law_labels": {k: bad for k in LAWS}, "sources": ((bad, bad),)}
