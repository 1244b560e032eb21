"""The command ``fadecast``. Exit 0 = done, 1 = a file refused or a check failed, 2 = usage or environment."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from pipelines.settings import Settings, prepare_environment

prepare_environment()

# The environment has to stand before any library is imported.
from pipelines.errors import UserError, in_one_sentence, need_logs  # noqa: E402
from pipelines.saying import err, print_json, print_table, report_files, say, say_table  # noqa: E402

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="What exporting energy from an electric car to a home does to its battery, warranty and resale value.",
)
evidence_app = typer.Typer(no_args_is_help=True, help="Fit laws to ageing tests; predict and score a file of tests.")
app.add_typer(evidence_app, name="evidence")

Json = Annotated[bool, typer.Option("--json", help="JSON alone to standard output.")]


class State:
    """What the options before the command said."""

    settings: Settings


def _settings(**changes: Any) -> Settings:
    return State.settings.model_copy(update={k: v for k, v in changes.items() if v is not None})


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"--as-of takes a day as YYYY-MM-DD, got '{text}'.") from None


@app.callback()
def _root(
    home: Annotated[
        Path | None, typer.Option(readable=False, help="Folder of everything generated (FADECAST_HOME).")
    ] = None,
) -> None:
    from warehouse.disk import check_home

    try:
        settings = Settings()
    except ValidationError as e:
        first = e.errors()[0]
        name = "_".join(str(x) for x in first["loc"]).upper()
        raise UserError(f"FADECAST_{name}: {first['msg']}, got {first['input']!r}.") from None
    State.settings = settings if home is None else settings.model_copy(update={"home": home})
    check_home(State.settings.home)


@app.command()
def demo(
    vehicles: Annotated[int, typer.Option(min=1, max=2000, help="Simulated vehicles.")] = 40,
    days: Annotated[int, typer.Option(min=14, max=1500, help="Days of logs.")] = 365,
    seed: Annotated[int, typer.Option(min=0, help="Seed of fleet, logs and draws.")] = 1,
    no_prefect: Annotated[bool, typer.Option("--no-prefect", help="Run the night without Prefect.")] = False,
) -> None:
    """Simulate a fleet's logs, run the night on them, say where the pages are."""
    from pipelines.demo import run_demo
    from pipelines.nightly import run_plain, run_prefect

    night = run_plain if no_prefect else run_prefect
    run_demo(_settings(seed=seed), vehicles, days, seed, lambda s: night(s, None, say), err)


@app.command()
def fleet(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Fleet files (CSV, Parquet); with --propose further logs.")
    ] = None,
    propose: Annotated[
        list[Path] | None, typer.Option(help="Propose a fleet file from this log (file, folder or quoted pattern).")
    ] = None,
    fmt: Annotated[str | None, typer.Option("--format", help="Format of the logs to propose from.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the proposal.")] = None,
    as_json: Json = False,
) -> None:
    """Register vehicles and homes; or propose a fleet file from logs by a written rule, every value marked assumed."""
    from pipelines.steps import intake

    if propose:
        if fmt is None:
            raise UserError("--propose needs --format: the name of the log's format or a TOML file.")
        logs = [*propose, *(files or [])]
        written = intake.propose_fleet(_settings(), logs, fmt, out or Path("fleet_proposal.csv"))
        say(
            f"Proposed {written.vehicles} vehicles in {written.path}; every value is assumed: mend what you know, then "
            f"run `fadecast fleet {written.path}`."
        )
        return
    if not files:
        raise UserError("Give either a fleet FILE to register or --propose LOG... --format NAME.")
    report_files([intake.register_fleet(_settings(), file) for file in files], as_json)


@app.command()
def ingest(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files, folders or quoted patterns.")] = None,
    fmt: Annotated[str | None, typer.Option("--format", help="Name of a format, or a TOML file.")] = None,
    explain: Annotated[
        Path | None, typer.Option(help="Propose a format from this file's head; take nothing in.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="With --explain: write the proposed format to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Take files in: every record is loaded, rejected with a reason, or a duplicate."""
    if explain is not None:
        if paths or fmt is not None:
            raise UserError("--explain looks at one file and takes nothing in: give neither paths nor --format.")
        _explain(explain, out, as_json)
        return
    if not paths or fmt is None:
        raise UserError("Give PATH... and --format; `fadecast ingest --explain FILE` proposes a format.")
    from pipelines.steps import intake

    report_files(intake.ingest(_settings(), paths, fmt), as_json)


def _explain(path: Path, out: Path | None, as_json: bool) -> None:
    """Show what a file's head tells: reasons to standard error, the TOML to a file or standard output."""
    from pipelines.steps import explain

    found = explain.explain_file(path)
    if out is not None:
        explain.write_proposal(found, out)
    if as_json:
        print_json(explain.as_json(path, found))
        return
    say_table(
        ("what", "looks like", "sure", "because"), [(g.what, g.value, g.confidence, g.reason) for g in found.guesses]
    )
    if found.known is None and out is None:
        sys.stdout.write(found.toml)
    say(explain.way_on(path, found, out))


@app.command()
def nightly(
    as_of: Annotated[str | None, typer.Option(help="Last day to look at, YYYY-MM-DD (default: the data's).")] = None,
    no_prefect: Annotated[bool, typer.Option("--no-prefect", help="The same steps without Prefect.")] = False,
    as_json: Json = False,
) -> None:
    """Run one night: history, learning, decisions, conformance, checks, pages."""
    day = _day(as_of)
    need_logs(State.settings.home)  # before seconds go by with the libraries of a night
    from pipelines.nightly import run_plain, run_prefect

    done = (run_plain if no_prefect else run_prefect)(_settings(), day, say)
    if as_json:
        print_json(
            {
                "run_id": done.run_id,
                "as_of": done.as_of,
                "changed": done.changed,
                "published": done.published,
                "steps": done.summary,
            }
        )
    else:
        say(f"Pages: {State.settings.home / 'pages' / 'fleet' / 'index.html'}")


@app.command()
def policies(
    vehicle: Annotated[str | None, typer.Option(help="One vehicle.")] = None,
    cohort: Annotated[str | None, typer.Option(help="One cohort.")] = None,
    add: Annotated[Path | None, typer.Option(help="Take policies from this TOML file into the home.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the comparison to this CSV file.")] = None,
    as_json: Json = False,
) -> None:
    """Export policies side by side, as the last night left them."""
    from pipelines import views
    from warehouse.export import write_table as export_writer

    if add is not None:
        say(views.add_policies(_settings(), add))
        return
    table = views.policy_table(_settings(), vehicle, cohort)
    if csv is not None:
        export_writer(table, csv)
        say(f"{table.height} rows in {csv}.")
    elif as_json:
        print_json(views.policy_json(_settings(), table))
    else:
        print_table(views.policy_overview(table))


@evidence_app.command("fit")
def evidence_fit(files: Annotated[list[Path], typer.Argument(help="Ageing tests in the exchange format.")]) -> None:
    """Fit the project's laws to ageing tests; store coefficients with provenance as the home's parameters."""
    from pipelines.steps import evidence

    with err.status("Fitting; every condition is left out in turn"):
        says, complete = evidence.fit(_settings(), files)
    say(says)
    if not complete:
        raise typer.Exit(1)


@evidence_app.command("score")
def evidence_score(
    files: Annotated[list[Path], typer.Argument(help="Ageing tests in the exchange format.")],
    predictions: Annotated[Path | None, typer.Option(help="Write every prediction to this CSV file.")] = None,
    as_json: Json = False,
) -> None:
    """Predict every test of the files from its first check-up, and score the predictions.

    Rows are counted from 0 below the header, here and in the predictions file. Exit code 1: a file was refused.
    """
    from pipelines.steps import evidence

    if predictions is not None and any(f.exists() and predictions.exists() and f.samefile(predictions) for f in files):
        raise UserError(f"{predictions}: is one of the files to score; give the predictions a name of their own.")
    try:
        done = evidence.score(_settings(), files)
    except evidence.NoneRead as e:
        if as_json:
            print_json({"tests": [], "datasets": e.datasets})
        raise
    if predictions is not None:
        try:
            done.predictions.write_csv(predictions)
        except OSError as e:
            why = e.strerror or str(e).split(" (os error")[0]
            raise UserError(f"{predictions}: the predictions cannot be written ({why}); give another file.") from None
    if as_json:
        print_json({"tests": done.tests, "datasets": done.datasets})
    else:
        for line in done.lines():
            say(line)
    if not done.complete:
        raise typer.Exit(1)


@app.command()
def forget(
    vehicle: Annotated[str, typer.Argument(help="The vehicle's name as in the logs, or its id.")], as_json: Json = False
) -> None:
    """Erase one vehicle everywhere in the home, keep it out of later files, and search the home for what is left."""
    from pipelines.steps.forget import forget as erase

    done = erase(_settings(), vehicle)
    if as_json:
        print_json(asdict(done))
        return
    rows = sum(done.rows.values())
    say(
        f"{done.records} records in {done.parts} raw parts and {rows} rows of {len(done.rows)} tables are gone,"
        f" and its lines in {len(done.copies)} files that Fadecast wrote;"
        f" nothing is left in {done.files_searched} files and {done.tables_searched} tables."
    )
    say("What the cohort learned from it stays until the next `fadecast nightly`. Files outside the home are yours.")


@app.command()
def check(as_json: Json = False) -> None:
    """Data checks, model conformance, and what the rules for defects touched; exit 1 when a check fails."""
    from pipelines.steps.check import all_checks, rules_lines

    results, rules = all_checks(_settings())
    if as_json:
        print_json({"checks": [vars(r) for r in results], "rules": [asdict(r) for r in rules]})
    else:
        for line in rules_lines(rules, State.settings.home):
            say(line)
        for r in results:
            say(
                f"{'ok  ' if r.passed else 'FAIL'} {r.name}: {r.why}"
                + ("" if r.passed else f" {r.rows} rows, e.g. {r.example}")
            )
    if not all(r.passed for r in results):
        raise typer.Exit(1)


@app.command()
def digest(as_json: Json = False) -> None:
    """A hash per table (sorted rows, meta_run left out), of pages and of samples: what "identical" means."""
    from warehouse.digest import digest_home

    body = digest_home(State.settings.home)
    if as_json:
        print_json(body)
    else:
        for name, value in body.items():
            sys.stdout.write(f"{value}  {name}\n")


@app.command()
def status(as_json: Json = False) -> None:
    """Last success, step under way, health."""
    from pipelines import views

    body = views.status(_settings())
    if as_json:
        print_json(body)
    else:
        for line in views.status_lines(body):
            say(line)
    if body["health"] != "good":
        raise typer.Exit(1)


@app.command()
def serve(
    now: Annotated[bool, typer.Option("--now", help="Run one night at once, too.")] = False,
) -> None:
    """Prefect server and a nightly schedule, until stopped."""
    from pipelines.serve import serve as run

    run(_settings(), now, say)


@app.command()
def export(
    table: Annotated[str, typer.Argument(help="A table (see the data dictionary page).")],
    file: Annotated[Path, typer.Argument(help="FILE.csv or FILE.parquet")],
) -> None:
    """Write one table as CSV or Parquet."""
    from pipelines import views

    say(views.export_table(_settings(), table, file))


def main() -> None:
    """Entry point: every error a user can mend is one sentence and an exit code."""
    try:
        app(standalone_mode=True)
    except KeyboardInterrupt:
        say("fadecast: stopped; the next night goes on from what was written.")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as e:
        said = in_one_sentence(e)
        if said is None:
            raise
        say(f"fadecast: {said[0]}")
        sys.exit(said[1])


if __name__ == "__main__":
    main()
