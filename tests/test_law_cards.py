"""Model cards: every law has one, its errors on ageing tests are those of the law, and the page says them."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ageing_record import record_lines
from models.domain import Use
from models.law_card import evidence_cards, law_cards
from models.law_tests import Condition, cell_pack, law_evidence, predict_test, steady_duty
from models.laws.power_rates import equations
from models.laws.registry import get, laws_for
from models.parameters import load
from reports import law_pages
from reports.fleet import index_page
from reports.fleet_models import models_page
from reports.render import render_page

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT.parent / "shared" / "data" / "ageing"


def test_every_law_of_every_cell_has_a_card():
    wanted = {law.law_id for cell_id in load("cells") for law in laws_for(cell_id)}
    cards = {card.law_id: card for card in law_cards()}
    assert set(cards) == wanted
    for card in cards.values():
        assert all(card.equation) and card.source and card.limits, card.law_id
        assert card.ranges and all(low < high for _, low, high in card.ranges), card.law_id
        assert all(p.source and p.unit for _, found in card.parameters for p in found), card.law_id
        if card.chemistry == "lfp":  # the chemistry whose tests are at hand
            assert card.evidence is not None and len(card.evidence.tests) == 26


def test_laws_of_ageing_tests_have_cards_with_every_test_left_out():
    cards = {card.law_id: card for card in evidence_cards()}
    assert set(cards) == set(load("evidence")) and len(cards) >= 3
    record = {
        x.law: x for x in record_lines(load("evidence_record")) if (x.scheme, x.group) == ("each condition", "all")
    }
    for card in cards.values():
        assert card.evidence is not None and card.evidence.left_out and card.equation[0] and card.ranges
        each = [card.evidence.of_test(i) for i in range(len(card.evidence.tests))]
        said = record[card.law_id]
        assert len(each) == said.tests
        assert np.mean([x[0] for x in each]) == pytest.approx(said.rmse_pp, abs=0.02)
        assert card.evidence.inside_80_frac == pytest.approx(said.inside_80_frac, abs=0.02)
        # The record tells errors of the loss, the card those of the capacity: a law that says too much loss is below.
        assert np.mean([x[1] for x in each]) == pytest.approx(-said.bias_pp, abs=0.02)


def test_what_the_packaged_tests_leave_open_is_said_of_packaged_laws_alone(tmp_path):
    entry_id = "sony_murata_us26650ftc1_3_ah_cycling"
    packaged = {card.law_id: card.limits for card in evidence_cards()}
    assert "Above 1C there is one test" in packaged[entry_id]
    from models.ageing_entries import fitted_of, toml_of

    (shipped,) = [f for f in fitted_of(load("evidence")) if f.entry_id == "sony_murata_us26650ftc1_3_ah_storage"]
    (tmp_path / "parameters").mkdir()
    text = toml_of(shipped).replace(shipped.entry_id, "mine_storage")
    (tmp_path / "parameters" / "evidence.toml").write_text(text, encoding="utf-8")
    own = {card.law_id: card for card in evidence_cards(tmp_path)}
    assert own["mine_storage"].limits and "One kind of cell" not in own["mine_storage"].limits
    assert "One kind of cell" in own[shipped.entry_id].limits and own[entry_id].limits == packaged[entry_id]


@given(
    depth=st.floats(0.05, 1.0),
    place=st.floats(0.0, 1.0),
    charge=st.floats(0.2, 2.0),
    discharge=st.floats(0.2, 2.0),
)
@settings(max_examples=30, deadline=None)
def test_duty_of_a_test_turns_over_what_its_conditions_say(depth: float, place: float, charge: float, discharge: float):
    pack = cell_pack("lfp_prada2013")
    mean = depth / 2 + place * (1 - depth)
    duty = steady_duty(Condition(25.0, mean, depth, charge, discharge), pack)
    soc = duty.cell_soc_frac
    assert soc.min() >= -1e-9 and soc.max() <= 1 + 1e-9
    moved = duty.current_a.sum(axis=1) * duty.step_hours / pack.capacity_ah
    assert np.allclose(moved, np.diff(soc), atol=1e-12)
    assert np.ptp(soc) == pytest.approx(depth, rel=1e-6)
    minutes = [max(1, round(60 * depth / rate)) for rate in (charge, discharge)]
    cycles = np.abs(np.diff(soc)).sum() / 2 / depth
    assert cycles == pytest.approx(duty.steps / sum(minutes), rel=0.02, abs=0.5)  # the last cycle may end half-way
    assert duty.current_a[:, Use.CHARGE].min() >= 0 >= duty.current_a[:, Use.DRIVE].max()


def test_storage_prediction_is_the_laws_own_projection():
    law, pack = get("lfp_sony_own", "lfp_prada2013"), cell_pack("lfp_prada2013")
    at = predict_test(law, pack, Condition(40.0, 0.5), np.array([100.0, 400.0]), np.zeros(2))
    e = load("laws_power")["lfp_sony_own"]
    k = e.number("calendar_k25") * np.exp(
        -e.number("calendar_activation_j_per_mol") / 8.314462618 * (1 / 313.15 - 1 / 298.15)
    )
    wanted = 1 - k * np.array([100.0, 400.0]) ** e.number("calendar_exponent")
    assert np.allclose(at.median, wanted, atol=2e-4)
    assert np.all(at.low < at.median) and np.all(at.median < at.high) and at.outside_frac == 0.0
    assert predict_test(law, pack, Condition(70.0, 0.5), np.array([100.0]), np.zeros(1)).outside_frac == 1.0


def test_one_condition_outside_the_range_puts_a_test_outside():
    law, pack = get("lfp_sony_own", "lfp_prada2013"), cell_pack("lfp_prada2013")

    def outside(*condition: float) -> float:
        return predict_test(law, pack, Condition(40.0, 0.5, *condition), np.zeros(1), np.array([100.0])).outside_frac

    assert outside(0.2, 1.0, 1.0) == 0.0  # on the edge of the range of depth
    assert outside(0.05, 1.0, 1.0) == 1.0
    assert outside(0.8, 1.0, 2.0) > 0.4  # half of the cycles
    stored = law_evidence("lfp_sony_own")
    assert stored is not None
    named = dict(zip(stored.tests, stored.outside, strict=True))
    assert {name for name, out in named.items() if out} == {
        "5 % deep cycles around 50 % charge at 40 °C, 1C / 1C",
        "10 % deep cycles around 50 % charge at 40 °C, 1C / 1C",
        "80 % deep cycles around 50 % charge at 40 °C, 1C / 2C",
    }


def test_equations_give_the_value_of_every_letter():
    for law_id, e in load("laws_power").items():
        said = equations(e)
        numbers = " ".join(said)
        for name, p in e.parameters.items():
            constant = name in ("calendar_sigma", "cycling_sigma", "cycling_rate_limit_per_h")
            if name.startswith(("calendar_", "cycling_")) and isinstance(p.value, float) and not constant:
                assert f"{p.value:g}" in numbers, (law_id, name)


def test_left_out_tests_are_named_in_words_without_a_column_that_always_says_no(page_rows: ModuleType):
    cards = {card.law_id: card for card in evidence_cards()}
    storage = cards["sony_murata_us26650ftc1_3_ah_storage"]
    assert (
        storage.evidence is not None
        and "storage at 0 °C, 50 % charge (naumann_cal_0C_50.0soc)" in storage.evidence.tests
    )
    assert not any("|" in name for card in cards.values() if card.evidence for name in card.evidence.tests)
    page = render_page(law_pages.card_page(storage, page_rows.fleet())).decode()
    assert "Outside the tested range" not in page
    assert len(storage.record) >= 2 and "Whole groups left out" in page
    for line in storage.record:
        assert f"{line.scheme}: {line.group}" in page and f"{line.score_pp:.2f}" in page


def test_mean_errors_have_the_sign_of_the_charts():
    card = next(card for card in law_cards() if card.law_id == "lfp_sony_own")
    e = card.evidence
    assert e is not None
    worst = max(range(len(e.tests)), key=lambda i: abs(e.of_test(i)[1]))
    trace, said = law_pages._trace(e, worst, e.day), law_pages._test_row(e, worst)[2]
    assert np.mean(-e.error_pp[e.test == worst]) < 0 and np.mean(trace.error) < 0
    assert said.startswith("\u2212")  # cells that lost more than predicted lie below zero in both


def test_a_test_without_rates_is_refused():
    with pytest.raises(ValueError, match="rates above zero"):
        steady_duty(Condition(25.0, 0.5, 0.8), cell_pack("lfp_prada2013"))


def _bench(name: str) -> ModuleType:
    """A module of benchmarks/."""
    spec = importlib.util.spec_from_file_location(f"{name}_bench", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.data
@pytest.mark.slow
def test_stored_evidence_is_what_the_laws_give_today():
    """Fails when a law or a parameter changes and ``benchmarks/law_evidence.py --write`` was not run."""
    if not TESTS.is_dir():
        pytest.skip("the ageing tests are not beside the checkout (../shared/data/ageing)")
    bench = _bench("law_evidence")
    for law in laws_for("lfp_prada2013"):
        stored = law_evidence(law.law_id)
        assert stored is not None
        rows = bench.read_file(TESTS / bench.FILES["lfp"][0]).rows
        found = bench.held(law, cell_pack("lfp_prada2013"), rows)
        n = len(found["error_pp"])
        assert np.allclose(stored.error_pp[:n], found["error_pp"], atol=0.02), law.law_id
        assert np.allclose(stored.low_pp[:n], found["low_pp"], atol=0.05), law.law_id


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("law_id", ["sei_ec", "sei_interstitial"])
def test_speeds_of_lfp_are_those_fitted_to_ageing_tests(law_id: str):
    """Even tests up to 1C are held within 3 points on average; a further fit gains less than one.

    Interstitial wear is kept higher than fitted, see laws.toml.
    """
    if not TESTS.is_dir():
        pytest.skip("the ageing tests are not beside the checkout (../shared/data/ageing)")
    bench = _bench("fit_lfp_sei")
    law = get(law_id, "lfp_prada2013")
    tests = [t for t in bench.tests_of(law) if t.fitted]
    stated, refitted = (
        float(np.mean([np.sqrt(np.mean(bench.error_pp(law, p, t) ** 2)) for t in tests]))
        for p in (np.zeros(len(law.multiplier_names)), bench.fitted_logs(law, tests))
    )
    assert len(tests) == 19 and stated < 3.0 and stated < refitted + 1.0


def test_pages_say_the_errors_and_link_to_each_other(page_rows: ModuleType):
    data = replace(page_rows.fleet(), cards=(*law_cards(), *evidence_cards()))
    listed = render_page(models_page(data)).decode()
    fleet_page = render_page(index_page(data)).decode()
    for card in data.cards:
        page = render_page(law_pages.card_page(card, data)).decode()
        assert f'href="{law_pages.card_name(card.law_id)}"' in listed
        assert f'href="{law_pages.card_name(card.law_id)}"' in fleet_page
        assert card.label in page and 'href="models.html"' in page
        if card.evidence is not None:
            assert f"{card.evidence.rmse_pp:.1f} points" in page and "<svg" in page
        else:
            assert "No open ageing test" in page


def test_an_unsafe_name_of_a_law_makes_no_file():
    with pytest.raises(ValueError, match="no safe file name"):
        law_pages.card_name("../x")
