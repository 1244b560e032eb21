"""Policies, chargers, tariffs, vehicle types as data: what ships is right, what is wrong is told in a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from models.domain import BASELINE_POLICY, Limits, Policy
from models.packs import energy_curve, mean_ocv_v, ocv_of, pack_of, vehicle_defaults, vehicle_types
from models.parameters import STANDINGS, ParameterError, load
from models.policies import CAPS, cap_words, charger, check_policy, export_reference, policies, policy, tariff
from pipelines.errors import UserError
from pipelines.settings import Settings
from pipelines.views import add_policies

GOOD = Policy("evening", "Evening", "smart", "peak", Limits())
ADDED = """
[my_evening]
label = "Mine"
charging = { value = "immediate", unit = "1", source = "Mine", standing = "assumed" }
export = { value = "peak", unit = "1", source = "Mine", standing = "assumed" }
soc_floor_frac = { value = 0.4, unit = "1", source = "Mine", standing = "assumed" }
"""


def test_the_named_policies_are_there_in_their_order() -> None:
    names = [p.policy_id for p in policies()]
    assert names[:8] == [
        "as_driven",
        "as_driven_no_export",
        BASELINE_POLICY,
        "no_export_immediate",
        "backup_only",
        "evening_peak",
        "solar_self_use",
        "arbitrage",
    ]
    assert len(set(names)) == len(names)
    capped = {c for p in policies() for c in p.caps}
    assert capped >= {"soc_floor_frac", "export_kw", "export_kwh_per_day", "export_hours_per_day"}
    assert capped <= set(CAPS)
    assert all(p.description and p.label for p in policies())


def test_a_cap_is_told_in_words() -> None:
    words = {p.policy_id: cap_words(p) for p in policies()}
    assert words["evening_peak_floor_60"] == "not below 60% charge"
    assert words["evening_peak_2_kwh_day"] == "at most 2 kWh a day"
    assert words["evening_peak"] == ""


def test_baseline_and_exports_share_ceiling_and_charging() -> None:
    known = {p.policy_id: p for p in policies()}
    base = known[BASELINE_POLICY]
    assert (base.charging, base.export) == ("smart", "none")
    for p in known.values():
        if p.charging != "as_driven":
            assert p.limits.soc_ceiling_frac == base.limits.soc_ceiling_frac


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (replace(GOOD, policy_id="Evening peak"), "a name is made of small letters"),
        (replace(GOOD, charging="fast"), "charging must be one of immediate, smart, as_driven, got 'fast'"),
        (replace(GOOD, export="always"), "export must be one of none, outage"),
        (replace(GOOD, export="as_driven"), "are both 'as_driven' or neither"),
        (
            replace(GOOD, limits=Limits(soc_floor_frac=0.9)),
            "0 <= soc_floor_frac < soc_ceiling_frac <= 1, got 0.9 and 0.8",
        ),
        (replace(GOOD, limits=Limits(export_kw=0.0)), "export_kw must be above 0, got 0; leave it out"),
        (replace(GOOD, limits=Limits(export_hours_per_day=25.0)), "cannot exceed 24, got 25"),
        (replace(GOOD, limits=Limits(driving_reserve_kwh=-1.0)), "driving_reserve_kwh must lie within 0 and 1000"),
        (replace(GOOD, caps=("export_kw",)), "names the cap export_kw but gives no such limit"),
        (replace(GOOD, caps=("season",)), "caps may name soc_floor_frac"),
        (replace(GOOD, limits=Limits(export_kw=1.0), caps=("export_kw",)), "belong together"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(bad: Policy, said: str) -> None:
    check_policy(GOOD)
    with pytest.raises(ParameterError) as error:
        check_policy(bad)
    assert said in str(error.value)
    assert str(error.value).startswith(f"Policy '{bad.policy_id}'")


def _home(tmp_path: Path, text: str, kind: str = "policies") -> Path:
    (tmp_path / "parameters").mkdir()
    (tmp_path / "parameters" / f"{kind}.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_policies_added_under_the_home_come_last(tmp_path: Path) -> None:
    home = _home(tmp_path, ADDED)
    known = policies(home)
    assert [p.policy_id for p in known] == [p.policy_id for p in policies()] + ["my_evening"]
    assert policy("my_evening", home).limits == Limits(soc_floor_frac=0.4)
    with pytest.raises(ParameterError, match="No policy named 'my_evening'; there are: as_driven, "):
        policy("my_evening")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("soc_floor_frac", "soc_flor_frac"), "unknown keys \\['soc_flor_frac'\\]; known are"),
        (('"immediate"', "5"), "charging\\] must be a text, got 5"),
        (("0.4", '"low"'), "soc_floor_frac\\] must be a number, got 'low'"),
        (('standing = "assumed"', 'standing = "sure"'), "standing must be one of"),
    ],
)
def test_a_wrong_file_names_the_key(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    home = _home(tmp_path, ADDED.replace(*change, 1) if change[0] != '"immediate"' else ADDED.replace(*change))
    with pytest.raises(ParameterError, match=said):
        policies(home)


@pytest.mark.parametrize(
    ("twin", "floor", "said"),
    [
        ("nobody", 0.4, "names 'nobody', which is no policy"),
        ("arbitrage", 0.4, "only in its caps; it also differs in"),
        ("evening_peak", 0.1, "it also differs in driving_reserve_kwh"),
    ],
)
def test_a_capped_policy_differs_from_its_twin_in_the_cap_alone(
    tmp_path: Path, twin: str, floor: float, said: str
) -> None:
    text = ADDED.replace('"immediate"', '"smart"').replace("0.4", str(floor))
    text += 'caps = { value = ["soc_floor_frac"], unit = "1", source = "Mine", standing = "assumed" }\n'
    text += f'uncapped_policy_id = {{ value = "{twin}", unit = "1", source = "Mine", standing = "assumed" }}\n'
    with pytest.raises(ParameterError, match=said):
        policies(_home(tmp_path, text))


def test_chargers_and_tariffs_load_and_make_sense() -> None:
    for charger_id in load("chargers"):
        c = charger(charger_id)
        assert 0.7 < c.charge_efficiency_frac * c.export_efficiency_frac <= 0.9 or c.export_kw == 0
        assert c.export_kw <= c.charge_kw
    for tariff_id in load("tariffs"):
        t = tariff(tariff_id)
        prices = np.asarray(t.import_money_per_kwh)
        assert prices.shape == (24,) and prices.min() > 0
        assert t.peak_hours and t.cheap_hours and not set(t.peak_hours) & set(t.cheap_hours)
        assert prices[list(t.peak_hours)].mean() >= prices[list(t.cheap_hours)].mean()
        assert t.feed_in_money_per_kwh < prices.max()
    with pytest.raises(ParameterError, match="No chargers entry named 'nowhere'; there are: ac_wallbox"):
        charger("nowhere")


def test_golden_prices_of_a_tariff() -> None:
    t = tariff("uk_go_like")
    assert t.import_money_per_kwh[:7] == (0.1825, 0.085, 0.085, 0.085, 0.085, 0.1825, 0.28)
    assert t.peak_hours == (16, 17, 18)
    assert tariff("us_ev2a_like").import_money_per_kwh[16:21] == (0.52,) * 5


def test_a_tariff_with_a_hole_is_refused(tmp_path: Path) -> None:
    packaged = Path(str(__import__("models").__path__[0])) / "parameters" / "tariffs.toml"
    text = packaged.read_text(encoding="utf-8")
    begin = text.index("[de_fixed]")
    body = text[begin : text.index("\n[", begin + 1)]
    with pytest.raises(ParameterError, match=r"has no price for the hours \[23\]"):
        tariff("de_fixed", _home(tmp_path, body.replace("[[0, 24, 0.36]]", "[[0, 23, 0.36]]"), "tariffs"))


@pytest.mark.parametrize("kind", ["vehicles", "chargers", "tariffs", "outages", "policies", "representative"])
def test_every_value_says_where_it_comes_from(kind: str) -> None:
    for e in load(kind).values():
        for p in e.parameters.values():
            assert p.standing in STANDINGS
            assert len(p.source) >= 4 and p.unit
            if p.low is not None and p.high is not None and isinstance(p.value, float):
                assert p.low <= p.value <= p.high


@pytest.mark.parametrize("vehicle_type", vehicle_types())
def test_a_pack_holds_the_energies_of_its_vehicle(made_years: ModuleType, vehicle_type: str) -> None:
    pack = made_years.pack(vehicle_type)
    gross = pack.n_series * pack.capacity_ah * mean_ocv_v(pack.ocv) / 1000
    assert gross == pytest.approx(pack.gross_kwh, rel=0.02)
    share = np.interp(
        [pack.window_low_frac, pack.window_high_frac], pack.ocv.cell_soc_frac, energy_curve(pack.ocv)
    )  # usable part of the open-circuit energy
    assert (share[1] - share[0]) * pack.gross_kwh == pytest.approx(pack.usable_kwh, rel=1e-9)
    assert 0 <= pack.window_low_frac < pack.window_high_frac <= 1
    assert 200 < float(pack.ocv_pack_v(0.5)) < 450
    assert pack.displayed_soc(pack.cell_soc(0.3)) == pytest.approx(0.3)
    hours = pack.heat_capacity_j_per_k / pack.cooling_w_per_k / 3600
    assert 4 < hours < 24


def test_a_vehicle_may_differ_from_its_type(made_years: ModuleType) -> None:
    v = made_years.vehicle("bmw_i3_60ah")
    assert pack_of(v).capacity_ah == pytest.approx(60.0)
    assert pack_of(replace(v, gross_kwh=33.2, usable_kwh=27.2)).capacity_ah == pytest.approx(60.0 * 33.2 / 21.6)
    with pytest.raises(ParameterError, match=r"not above gross_kwh; got 30 and 21\.6"):
        pack_of(replace(v, usable_kwh=30.0))
    with pytest.raises(ParameterError, match="No vehicles entry named 'spaceship'; there are: assumed_bev_60"):
        pack_of(replace(v, vehicle_type="spaceship"))
    with pytest.raises(ParameterError, match="No cells entry named 'unobtainium'"):
        pack_of(replace(v, cell_id="unobtainium"))


def test_defaults_of_a_type_are_complete() -> None:
    for vehicle_type in vehicle_types():
        d = vehicle_defaults(vehicle_type)
        assert d["cell_id"] in load("cells")
        assert d["currency"] == "EUR"
        assert d["usable_kwh"] <= d["gross_kwh"]
        assert d["consumption_wh_per_km"] < d["certified_worst_wh_per_km"]
        assert ocv_of(d["cell_id"]).source


def test_export_is_told_against_the_same_charging_without_it() -> None:
    known = {p.policy_id: p for p in policies()}
    want = {
        "as_driven": "as_driven_no_export",
        "as_driven_no_export": "as_driven_no_export",
        "no_export_immediate": "no_export_immediate",
        "evening_peak": BASELINE_POLICY,
        "arbitrage": BASELINE_POLICY,
    }
    assert {p: export_reference(known[p], known) for p in want} == want


def test_the_policies_that_others_are_compared_with_cannot_be_replaced(tmp_path: Path) -> None:
    own = tmp_path / "parameters"
    own.mkdir()
    (own / "policies.toml").write_text(ADDED.replace("my_evening", BASELINE_POLICY), encoding="utf-8")
    with pytest.raises(ParameterError, match=f"'{BASELINE_POLICY}' is what others are compared with"):
        policies(tmp_path)


def _home_with_a_policy(tmp_path: Path) -> tuple[Settings, Path, Path]:
    settings, mine = Settings(home=tmp_path / "h"), tmp_path / "mine.toml"
    mine.write_text(ADDED, encoding="utf-8")
    assert "my_evening" in add_policies(settings, mine)
    return settings, mine, settings.home / "parameters" / "policies.toml"


def test_policies_are_added_one_file_after_another(tmp_path: Path) -> None:
    settings, mine, kept = _home_with_a_policy(tmp_path)
    mine.write_text(ADDED.replace("my_evening", "my_night"), encoding="utf-8")
    add_policies(settings, mine)
    assert [p.policy_id for p in policies(settings.home)][-2:] == ["my_evening", "my_night"]
    assert [f.name for f in kept.parent.iterdir()] == [kept.name]


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (ADDED, "my_evening kept already in"),
        ('low = 0.1\nlabel = "Stray"\n', "must be a table"),  # would slip into the last kept table
        (ADDED.replace("my_evening", "too_low").replace("0.4", "40.0"), "too_low"),
        (ADDED.replace("my_evening", "no_source").replace(', source = "Mine"', ""), "no_source.charging] needs"),
    ],
)
def test_a_wrong_policy_is_named_and_the_home_is_never_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, added: str, said: str
) -> None:
    """Not even for a moment: a night that starts while it is checked reads what was there."""
    settings, mine, kept = _home_with_a_policy(tmp_path)
    mine.write_text(added, encoding="utf-8")
    seen: list[str] = []

    def looking_on(home: Path | None = None) -> tuple[Policy, ...]:
        seen.append(kept.read_text(encoding="utf-8"))
        return policies(home)

    monkeypatch.setattr("pipelines.views.known_policies", looking_on)
    with pytest.raises((ParameterError, UserError), match=r"^(?!.*add-)") as told:
        add_policies(settings, mine)
    assert said in str(told.value)
    assert set(seen) <= {ADDED} and kept.read_text(encoding="utf-8") == ADDED
    assert [f.name for f in kept.parent.iterdir()] == [kept.name]
