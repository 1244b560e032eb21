"""What people who have never seen the format send, to score and to fit: said in a sentence, and nothing lost unsaid."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from evidence_rows import FEATURES, Row, csv_text, made_drive, made_test, several, with_drives, write

from models.ageing_entries import fitted_of
from models.parameters import ParameterError, load
from pipelines import cli
from pipelines.errors import UserError
from pipelines.settings import Settings
from pipelines.steps import evidence

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "ageing"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/ageing")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def comma(rows: list[Row], form: str) -> list[Row]:
    return [{k: form.format(v).replace(".", ",") if isinstance(v, float) else v for k, v in r.items()} for r in rows]


def test_gzip_other_case_and_decimal_commas_are_read_as_they_are_meant(settings: Settings, tmp_path: Path) -> None:
    rows = with_drives()
    plain = evidence.score(settings, [write(tmp_path / "a.csv", rows)]).predictions
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(csv_text(rows).encode()))
    head, body = csv_text(rows).split("\n", 1)
    (tmp_path / "case.csv").write_text(
        f"{head.replace('temperature_c', 'Temperature_C').replace('efc', 'EFC')}\n{body}"
    )
    (tmp_path / "tab.csv").write_text(csv_text(comma(rows, "{}"), "\t"))
    (tmp_path / "quoted.csv").write_text(csv_text(comma(rows, "{}")))
    head, body = csv_text(comma(rows, "{}"), "\t").split("\n", 1)
    (tmp_path / "both.csv").write_text(
        f"{head.replace('capacity_frac', 'Capacity_Frac').replace('efc', 'EFC')}\n{body}"
    )
    (tmp_path / "exponents.csv").write_text(csv_text(comma(rows, "{:.16e}"), ";"))
    for name in ("a.csv.gz", "case.csv", "tab.csv", "quoted.csv", "both.csv", "exponents.csv"):
        done = evidence.score(settings, [tmp_path / name])
        assert done.datasets[0]["problems"] == [], name
        assert done.predictions.equals(plain), name


def test_commas_of_thousands_are_no_decimals(settings: Settings, tmp_path: Path) -> None:
    rows = [r | {"efc": f"{r['efc']:,.0f}"} for r in made_test("c", "cycle", depth=0.8, rate=1.0, cycles=8000.0)]
    done = evidence.score(settings, [write(tmp_path / "a.csv", rows)])
    (problem,) = done.datasets[0]["problems"]
    assert problem == "a.csv: rows 2, 3, 4, column efc: is no number ('2,400'); the row is left out."


def test_what_is_no_table_is_named_as_what_it_is(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(several()))
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04" + bytes(range(1, 200)))
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(csv_text(several()).encode())[:60])
    (tmp_path / "title.csv").write_text("# made by a tool\n" + csv_text(several()))
    for name, says in (
        ("a.json", r"a\.json: not a readable table \(JSON\)"),
        ("a.xlsx", r"a\.xlsx: not a readable table \(binary\)"),
        ("cut.csv.gz", r"cut\.csv\.gz: not a readable table"),
        ("title.csv", r"title\.csv: the header \(it begins with '# made by a tool'\) has no column test_id"),
        (".", "is a folder"),
    ):
        with pytest.raises(UserError, match=says) as told:
            evidence.score(settings, [tmp_path / name])
        assert len(str(told.value)) < 300 and "\n" not in str(told.value)


def test_lists_in_parquet_are_a_fault_of_their_column(settings: Settings, tmp_path: Path) -> None:
    frame = pl.DataFrame([r | {"temperature_c": [40.0], next(iter(FEATURES)): [1.0]} for r in several()])
    frame.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="column temperature_c: holds lists"):
        evidence.score(settings, [tmp_path / "a.parquet"])


def test_bytes_in_parquet_are_texts_or_one_sentence(settings: Settings, tmp_path: Path) -> None:
    frame = pl.DataFrame(several())
    frame.with_columns(pl.col("kind").cast(pl.Binary)).write_parquet(tmp_path / "a.parquet")
    assert len(evidence.score(settings, [tmp_path / "a.parquet"]).tests) == 3
    frame.with_columns(cell=pl.lit(b"\xff")).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet: not a readable table"):
        evidence.score(settings, [tmp_path / "b.parquet"])


def test_a_feature_that_a_law_knows_is_read_even_where_most_of_it_is_rubbish(
    settings: Settings, tmp_path: Path
) -> None:
    """Else a row's prediction would hang on what other rows of the file state in that column."""
    rows = made_drive("drive")
    rows = [r | ({"Average Current": "?"} if i in (1, 2, 3) else {}) for i, r in enumerate(rows)]
    done = evidence.score(settings, [write(tmp_path / "a.csv", rows)])
    alone = evidence.score(settings, [write(tmp_path / "b.csv", [rows[0], rows[4]])])
    assert done.predictions.row(-1)[2:] == alone.predictions.row(-1)[2:]
    (problem,) = done.datasets[0]["problems"]
    assert problem == "a.csv: rows 1, 2, 3, column Average Current: is no number ('?'); taken as unknown."


def test_a_fault_of_the_first_check_up_does_not_make_the_second_one_first(settings: Settings, tmp_path: Path) -> None:
    rows = several()
    whole = evidence.score(settings, [write(tmp_path / "a.csv", rows)]).predictions
    rows[5]["temperature_c"] = 313.15
    done = evidence.score(settings, [write(tmp_path / "b.csv", rows)])
    assert done.predictions.equals(whole)
    assert len(done.datasets[0]["problems"]) == 1


@pytest.mark.parametrize(
    ("place", "changed", "says"),
    [
        (8, {"capacity_frac": 2.7}, "row 8, column capacity_frac: 2.7 looks like ampere-hours"),
        (7, {"dod_frac": 0}, "row 7, column dod_frac: 0, cycles of no depth are none; taken as unknown"),
        (7, {"charge_c_rate": 0}, "row 7, column charge_c_rate: 0, cycles of no current are none"),
        (8, {"kind": "calendar"}, "row 5, column kind: calendar and cycle in one test"),
    ],
)
def test_what_cannot_be_is_said(settings: Settings, tmp_path: Path, place: int, changed: Row, says: str) -> None:
    rows = several()
    rows[place] |= changed
    done = evidence.score(settings, [write(tmp_path / "a.csv", rows)])
    assert [p for p in done.datasets[0]["problems"] if says in p]
    assert done.predictions.height == 12


def test_cycles_of_no_depth_are_predicted_as_of_unknown_depth(settings: Settings, tmp_path: Path) -> None:
    def last(depth: float | None) -> tuple[float, ...]:
        rows = made_test("c", "cycle", depth=depth, rate=1.0, cycles=8000.0)
        return evidence.score(settings, [write(tmp_path / "a.csv", rows)]).predictions.row(-1)[2:]

    assert last(0.0) == last(None)


def test_days_that_run_backwards_are_said(settings: Settings, tmp_path: Path) -> None:
    rows = [r | {"day": 880.0 - r["day"]} for r in made_test("stored")]
    done = evidence.score(settings, [write(tmp_path / "a.csv", rows)])
    (problem,) = done.datasets[0]["problems"]
    assert (
        "row 4, column capacity_frac: 0.91 at the first check-up of test stored" in problem and "backwards" in problem
    )


def test_a_refused_file_is_told_by_its_heaviest_fault(settings: Settings, tmp_path: Path) -> None:
    rows = [r | {"capacity_frac": 2.9 * r["capacity_frac"]} for r in several()]
    rows[3]["test_id"] = ""
    with pytest.raises(UserError) as told:
        evidence.score(settings, [write(tmp_path / "a.csv", rows)])
    said = str(told.value)
    assert "column capacity_frac: 2.9 looks like ampere-hours" in said and "more such sentences" in said
    assert said.count("a.csv: ") == 2


def test_unknown_fields_are_said_with_their_rows(settings: Settings, tmp_path: Path) -> None:
    rows = [{k: v for k, v in r.items() if k != "temperature_c"} for r in several()]
    done = evidence.score(settings, [write(tmp_path / "a.csv", rows)])
    notes = "\n".join(done.datasets[0]["notes"])
    assert "temperature_c unknown in 4 of 4 rows" in notes and "temperature_c unknown in 8 of 8 rows" in notes


@needs_data
@pytest.mark.parametrize("column", ["temperature_c", "soc_mean_frac"])
@pytest.mark.parametrize("name", ["naumann_lfp_calendar.csv", "naumann_lfp_cycle.csv"])
def test_intervals_hold_where_a_condition_is_hidden(settings: Settings, tmp_path: Path, column: str, name: str) -> None:
    pl.read_csv(DATA / name).with_columns(pl.lit(None).alias(column)).write_csv(tmp_path / name)
    done = evidence.score(settings, [tmp_path / name])
    assert 0.62 <= done.datasets[0]["inside_80_frac"] <= 0.95


def test_predictions_never_replace_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv", several())
    before = path.read_bytes()
    args = ["--home", str(tmp_path / "home"), "evidence", "score", str(path), "--predictions"]
    monkeypatch.setattr("sys.argv", ["fadecast", *args, str(tmp_path / "." / "a.csv")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and path.read_bytes() == before


def test_files_of_one_name_and_files_given_twice_stay_apart(settings: Settings, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "tests.csv", several())
    files = [tmp_path / "b" / "tests.csv", tmp_path / "a" / "tests.csv", tmp_path / "a" / ".." / "a" / "tests.csv"]
    done = evidence.score(settings, files)
    assert [t["file"] for t in done.tests] == [str(f) for f in files[:2] for _ in range(3)]
    assert done.predictions.select("file", "test_id", "row").n_unique() == done.predictions.height == 24


def stored(cell: str, chemistry: str = "NMC", speed: float = 1.0, **changed: object) -> list[Row]:
    """Storage tests of six conditions."""
    rows: list[Row] = []
    for temp in (25.0, 40.0, 55.0):
        for soc in (0.3, 0.9):
            loss = 0.03 * speed * np.exp(4e3 * (1 / 298.15 - 1 / (temp + 273.15))) * (0.5 + soc)
            name = f"{cell} {chemistry} {temp:g} {soc:g}"
            rows += made_test(name, temp=temp, soc=soc, loss=float(loss), cell=(cell, chemistry))
    return [r | changed for r in rows]


def fit(settings: Settings, folder: Path, *files: list[Row]) -> str:
    return evidence.fit(settings, [write(folder / f"f{i}.csv", rows) for i, rows in enumerate(files)])[0]


@pytest.fixture(scope="module")
def fitted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a storage law of cell C, and the file that it comes from."""
    folder = tmp_path_factory.mktemp("fitted")
    fit(Settings(home=folder / "home"), folder, stored("C"))
    return folder


@pytest.fixture
def fitted(tmp_path: Path, fitted_once: Path) -> Settings:
    """A copy of it that the test may damage."""
    shutil.copytree(fitted_once, tmp_path, dirs_exist_ok=True)
    return Settings(home=tmp_path / "home")


def own_laws(settings: Settings) -> dict[str, tuple[str, int]]:
    packaged = load("evidence")
    laws = fitted_of(load("evidence", settings.home))
    return {f.entry_id: (f.model.cell or f.model.chemistry, f.tests) for f in laws if f.entry_id not in packaged}


def test_cells_named_in_other_scripts_have_laws_of_their_own(settings: Settings, tmp_path: Path) -> None:
    fit(settings, tmp_path, [*stored("电池一"), *stored("电池二", speed=2.0)])
    assert sorted(own_laws(settings).values()) == [("电池一", 6), ("电池二", 6)]
    for cell in ("电池一", "电池二"):
        speed = 2.0 if cell == "电池二" else 1.0
        done = evidence.score(settings, [write(tmp_path / "s.csv", stored(cell, speed=speed))])
        assert all(t["rmse_pp"] < 0.5 and t["in_range"] for t in done.tests)


def test_cells_that_would_share_a_short_name_are_said(settings: Settings, tmp_path: Path) -> None:
    said = fit(settings, tmp_path, [*stored("Cell-A"), *stored("Cell A", speed=2.0)])
    assert "Cell-A, storage: its short name cell_a_storage is that of the cell 'Cell A'; rename one." in said
    assert own_laws(settings) == {"cell_a_storage": ("Cell A", 6)}
    with pytest.raises(UserError, match="is that of the cell 'Cell A'"):
        fit(settings, tmp_path, stored("Cell-A"))


def test_unnamed_cells_of_two_chemistries_are_two_cells(settings: Settings, tmp_path: Path) -> None:
    fit(settings, tmp_path, [*stored("", "NMC"), *stored("", "LTO", speed=0.2)])
    assert own_laws(settings) == {"lto_storage": ("LTO", 6), "nmc_storage": ("NMC", 6)}


def test_tests_of_one_name_in_two_files_stay_apart(settings: Settings, tmp_path: Path) -> None:
    fit(settings, tmp_path, stored("C"), stored("C", speed=1.1))
    assert own_laws(settings) == {"c_storage": ("C", 12)}


def test_what_no_law_can_be_fitted_to_is_said_beside_what_is(settings: Settings, tmp_path: Path) -> None:
    cycled = [
        r for d in (0.3, 0.8) for r in made_test(f"c{d}", "cycle", depth=d, rate=1.0, cycles=900, cell=("C", "N"))
    ]
    said = fit(settings, tmp_path, [*stored("C", "N"), *cycled])
    assert "c_storage: 6 tests" in said
    assert (
        "C, cycling: no law is fitted; 3 conditions are needed, each of 3 check-ups or more, and there are 2." in said
    )


@pytest.mark.parametrize("changed", [{"soc_mean_frac": None}, {"temperature_c": None}, {"day": 0.0}])
def test_storage_without_what_its_law_needs_is_one_sentence(settings: Settings, tmp_path: Path, changed: Row) -> None:
    with pytest.raises(UserError, match=r"no law could be fitted.*of known temperature and SOC.*there are 0") as told:
        fit(settings, tmp_path, stored("C", **changed))
    assert told.value.exit_code == 1


def test_features_that_never_change_make_no_profile(settings: Settings, tmp_path: Path) -> None:
    rows: list[Row] = []
    for depth in (0.3, 0.5, 0.7, 0.9):
        rows += made_test(f"c{depth}", "cycle", depth=depth, rate=1.0, cycles=900, loss=0.2 * depth, cell=("C", "N"))
    fit(settings, tmp_path, [r | {"batch": 7} for r in rows])
    assert own_laws(settings) == {"c_cycling": ("C", 4)}


def test_a_feature_that_one_test_alone_has_otherwise_is_fitted(settings: Settings, tmp_path: Path) -> None:
    """Left out, that test leaves no feature that varies."""
    rows: list[Row] = []
    for i in range(7):
        made = made_test(f"c{i}", "cycle", depth=1.0, rate=1.0, cycles=900, loss=0.1 + 0.01 * i, cell=("C", "N"))
        rows += [r | {"odd": int(i == 0)} for r in made]
    assert "c_profile: 7 tests" in fit(settings, tmp_path, rows)


def test_a_law_that_foretells_nothing_says_so_and_is_wide(settings: Settings, tmp_path: Path) -> None:
    rows = stored("C")
    rng = np.random.default_rng(5)
    wild = {name: float(rng.uniform(0.2, 6.0)) for name in sorted({r["test_id"] for r in rows})}
    rows = [r | {"capacity_frac": 1.0 - wild[r["test_id"]] * (1.0 - r["capacity_frac"])} for r in rows]
    assert "does not foretell conditions that it has not seen" in fit(settings, tmp_path, rows)
    (law,) = [f for f in fitted_of(load("evidence", settings.home)) if f.entry_id == "c_storage"]
    assert law.rmse_pp > 5.0 and 0.62 <= law.inside_frac <= 0.95


@pytest.mark.parametrize(
    ("kind", "old", "new", "says"),
    [
        ("evidence", b"[c_storage]", b"\xff\xfe", "no text in UTF-8"),
        ("evidence", b"ln_loss = { value = -", b"ln_loss = { value = nan, x = -", "unknown keys"),
        ("evidence", b"floor_frac = { value = 0", b"floor_frac = { value = -1", "must not be negative"),
        ("evidence", b"conditions = { value = [[", b"conditions = { value = [], low = [[", "at least one line"),
        ("evidence", b"exponent = { value = 0", b"exponent = { value = inf, high = 0", "finite number"),
        ("evidence", b"ln_loss", b"ln_los", "no parameter 'ln_loss'"),
    ],
)
def test_a_damaged_store_is_one_sentence_that_names_it(
    fitted: Settings, tmp_path: Path, kind: str, old: bytes, new: bytes, says: str
) -> None:
    path = fitted.home / "parameters" / f"{kind}.toml"
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new))
    for step in (evidence.score, evidence.fit):
        with pytest.raises(ParameterError, match=says) as told:
            step(fitted, [tmp_path / "f0.csv"])
        assert str(told.value).startswith(str(path)) and "\n" not in str(told.value)


@pytest.mark.parametrize("kind", ["evidence_record", "evidence_heldout"])
def test_a_damaged_record_stops_a_fit_before_anything_is_written(fitted: Settings, tmp_path: Path, kind: str) -> None:
    folder = fitted.home / "parameters"
    (folder / f"{kind}.toml").write_bytes(b"\xff\x00")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(ParameterError, match=f"{kind}.toml: is no text"):
        fit(fitted, tmp_path, stored("D"))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
