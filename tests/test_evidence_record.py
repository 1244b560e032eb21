"""How wrong the laws have been, as data: the table, the series, what leaves what out, and how it is read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evidence_rows import made_test, write

from models.ageing_crossval import RecordLine, schemes
from models.ageing_entries import fitted_of
from models.ageing_families import FitGroup, families
from models.ageing_record import held_out_series, held_out_toml, record_lines, record_toml
from models.parameters import ParameterError, load
from pipelines.settings import Settings
from pipelines.steps import evidence
from pipelines.steps.evidence_read import read_file

PACKAGED = Path(__file__).resolve().parents[1] / "models" / "parameters"
WANTED_PP = {"storage": 1.0, "cycling": 2.0, "profile": 0.6}


def entries(folder: Path, kind: str) -> dict:
    return {k: v for k, v in load(kind, folder.parent).items() if str(folder) in v.file}


def test_every_shipped_law_has_a_table_and_a_series_of_each_test() -> None:
    laws = {f.entry_id: f for f in fitted_of(load("evidence"))}
    lines, series = record_lines(load("evidence_record")), held_out_series(load("evidence_heldout"))
    assert {x.law for x in lines} == {s.law for s in series} == set(laws)
    for law, fitted in laws.items():
        first = next(x for x in lines if x.law == law)
        own = [s for s in series if s.law == law]
        assert (first.scheme, first.group, first.tests) == ("each condition", "all", fitted.tests)
        assert len(own) == fitted.tests == len({s.test_id for s in own})
        # Three files, one truth: the series average to the table, and the table to the law's own note.
        assert np.mean([s.rmse_pp for s in own]) == pytest.approx(first.rmse_pp, abs=0.005)
        assert np.mean([s.inside_80_frac for s in own]) == pytest.approx(first.inside_80_frac, abs=0.02)
        assert fitted.rmse_pp == pytest.approx(first.rmse_pp, abs=0.001)
    assert (PACKAGED / "evidence_heldout.toml").stat().st_size < 300_000


def test_shipped_laws_hold_their_errors_coverage_and_score() -> None:
    for x in record_lines(load("evidence_record")):
        if (x.scheme, x.group) == ("each condition", "all"):
            assert x.rmse_pp < WANTED_PP[x.law.rsplit("_", 1)[1]]
            assert 0.74 <= x.inside_80_frac <= 0.88
            assert x.score_pp < x.constant_score_pp
        if x.scheme == "each family of protocols" and x.group == "all":
            assert x.rmse_pp < 0.8 and 0.62 <= x.inside_80_frac <= 0.95 and x.score_pp < x.constant_score_pp
        if x.scheme.startswith("all slow tests"):
            assert x.rmse_pp < 1.2


def test_series_rise_in_time_and_grow_in_width() -> None:
    for s in held_out_series(load("evidence_heldout")):
        assert (np.diff(s.x) >= 0).all() and s.half_width_pp[-1] > s.half_width_pp[0]
        assert (s.half_width_pp > 0).all() and s.axis in ("day", "efc")
        assert s.half_width_pp.shape == s.error_pp.shape == s.x.shape


def test_table_and_series_survive_storing(tmp_path: Path) -> None:
    folder = tmp_path / "parameters"
    folder.mkdir()
    lines = (RecordLine("made_law", "each condition", "all", 3, 0.5, -0.1, 0.8, 2.0, 2.5),)
    (series, *_) = held_out_series(load("evidence_heldout"))
    (folder / "evidence_record.toml").write_text(record_toml("made_law", lines, "made"), encoding="utf-8")
    (folder / "evidence_heldout.toml").write_text(held_out_toml("made_law", [series], "made"), encoding="utf-8")
    assert record_lines(entries(folder, "evidence_record")) == lines
    (again,) = held_out_series(entries(folder, "evidence_heldout"))
    assert (again.law, again.test_id, again.condition) == ("made_law", series.test_id, series.condition)
    np.testing.assert_allclose(again.error_pp, series.error_pp)
    text = record_toml("made_law", lines, "made").replace('"bias_pp", ', "")
    (folder / "evidence_record.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError, match=r"\[made_law.columns\] must be"):
        record_lines(entries(folder, "evidence_record"))


def test_intervals_beat_a_constant_width_on_conditions_and_temperatures_left_out() -> None:
    """Interval scores as stored: of every condition and every temperature left out; coverage beside them."""
    found = [x for x in record_lines(load("evidence_record")) if x.group == "all"]
    shown = [x for x in found if x.scheme == "each condition" or x.scheme.startswith("each temperature")]
    assert len(shown) == 5
    for x in shown:
        assert x.score_pp < x.constant_score_pp, x
        assert 0.62 <= x.inside_80_frac <= 0.95, x


def grid() -> list[dict]:
    return [
        row
        for temp in (10.0, 25.0, 45.0)
        for soc in (0.2, 0.8)
        for row in made_test(f"{temp}|{soc}", temp=temp, soc=soc, loss=0.02 + 0.001 * temp + 0.03 * soc)
    ]


def test_schemes_leave_whole_temperatures_and_socs_out(tmp_path: Path) -> None:
    read = read_file(write(tmp_path / "a.csv", grid()))
    (family,) = families([FitGroup(read.rows, read.protocol, "made")])
    by_name = {s.name: s for s in schemes(family)}
    assert {k: len(set(s.group) - {""}) for k, s in by_name.items()} == {
        "each condition": 6,
        "each temperature": 3,
        "each SOC": 2,
    }
    for name in ("each temperature", "each SOC"):
        group = by_name[name].group
        for label in set(group):
            held = {str(c) for c in family.condition[group == label]}
            assert held.isdisjoint({str(c) for c in family.condition[group != label]})


def test_hidden_fields_are_hidden(tmp_path: Path) -> None:
    rows = [
        r
        for depth in (0.6, 0.8, 1.0)
        for r in made_test(f"d{depth}", "cycle", depth=depth, rate=1.0, cycles=4000.0, loss=0.1 + 0.05 * depth)
    ]
    read = read_file(write(tmp_path / "a.csv", rows))
    (family,) = families([FitGroup(read.rows, read.protocol, "made")])
    hidden = next(s for s in schemes(family) if s.name.endswith("depth, rates and day hidden"))
    shown = hidden.shown(family.rows)
    for values in (shown.depth_frac, shown.charge_per_h, shown.discharge_per_h, shown.day):
        assert np.isnan(values).all()
    assert replace(shown).cycles is family.rows.cycles


def test_fit_keeps_a_record_beside_its_laws_and_says_what_it_replaces(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    says, complete = evidence.fit(settings, [write(tmp_path / "a.csv", grid())])
    assert complete and "replaces the packaged law of 12 tests" in says
    law = "sony_murata_us26650ftc1_3_ah_storage"
    own = [x for x in record_lines(load("evidence_record", settings.home)) if x.law == law]
    assert [(x.scheme, x.tests) for x in own] == [("each condition", 6)]
    assert len([s for s in held_out_series(load("evidence_heldout", settings.home)) if s.law == law]) == 6
    assert "sha256" in load("evidence", settings.home)[law]["form"].source
