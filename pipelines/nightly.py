"""A night: history, learning, decisions, conformance, checks, publication; with Prefect or without.

The steps are plain functions (`pipelines.steps`); `STEPS` is their order and the only description of a night. The
Prefect flow is a skin over it: one task a step, batches of vehicles, retries, artifacts. Prefect is imported when a
flow is wanted and only then.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from pipelines.computing import Computing
from pipelines.errors import UserError, need_logs, no_logs
from pipelines.ledger import RunNote, end_run, mark_done, night_lock, set_state, start_run, state
from pipelines.settings import Settings
from pipelines.steps import chargers, check, conform, decide, history, learn, publish
from pipelines.steps.forget import finish_forgetting
from pipelines.steps.versions import code_version, inputs_version
from warehouse.disk import check_writable, writing
from warehouse.packs import compact
from warehouse.store import Warehouse, open_warehouse

if TYPE_CHECKING:
    from pipelines.steps.decide import VehicleResult
    from pipelines.steps.learn import Learned

Say = Callable[[str], None]
# What Prefect's own server writes in its first night, several times over.
_SERVER_BYTES = 64 << 20


@dataclass
class NightResult:
    """What a night did; `summary` holds one sentence a step."""

    run_id: str
    as_of: str
    changed: bool
    published: str | None
    summary: dict[str, str] = field(default_factory=dict)


def _checked_day(wh: Warehouse, as_of: date | None) -> date:
    """As-of day asked for, if there are data by then; else the data's own last complete day."""
    last = wh.as_of()
    if as_of is None:
        return last
    first = wh.scalar("SELECT min(first_utc) FROM meta_part WHERE kind IN ('samples', 'sessions')").date()
    if not first < as_of <= last:
        raise UserError(f"--as-of {as_of}: the logs reach from {first} to {last}; give a day after the first of them.")
    return as_of


class Night:
    """State of one night, handed from step to step. Not a dataclass: Prefect must not walk through it."""

    def __init__(self, settings: Settings, wh: Warehouse, note: RunNote, as_of: date | None, say: Say) -> None:
        self.settings, self.wh, self.note, self.say = settings, wh, note, say
        code_version()  # of the code that runs, not of what the files become meanwhile
        self.as_of = _checked_day(wh, as_of)
        wh.pin_as_of(self.as_of)
        self.changed = True
        self.version = ""
        self.learned: Learned | None = None
        self.batches: list[list[str]] = []
        self.computing = Computing(settings.workers, 0)
        self.results: list[VehicleResult] = []
        self.published: str | None = None
        self.summary: dict[str, str] = {}

    def tell(self, step: str, text: str) -> None:
        """Keep and show one sentence about a step."""
        self.summary[step] = text
        self.say(f"{step}: {text}")


def step_history(night: Night) -> None:
    """Sessions, duty and capacity readings of the vehicles whose logs changed; small raw parts are joined first."""
    packed = compact(night.wh)
    if packed.packs:
        night.tell("parts", f"{packed.files} small files of raw parts joined into {packed.packs}.")
    done = history.build_history(night.wh, night.settings)
    fitted = chargers.build_chargers(night.wh, night.settings)
    night.tell("history", f"{done.sentence} {fitted} chargers measured.")
    night.version = inputs_version(night.wh, night.settings)
    night.changed = night.version != state(night.wh, "fleet", "night")


def step_learn(night: Night) -> None:
    """Exposures of the days touched and the fleet's fit."""
    if not night.changed:
        night.tell("learn", "nothing new since the last night; its fits stand.")
        return
    night.learned = learn.learn(night.wh, night.settings)
    night.batches = decide.batches(night.wh, night.settings)
    night.computing = Computing(night.settings.workers, sum(map(len, night.batches)))
    night.tell("learn", night.learned.sentence)


def step_decide_batch(night: Night, vehicle_ids: list[str]) -> None:
    """Policies, forecasts, warranty and value of one batch of vehicles."""
    if night.learned is None:
        raise RuntimeError("step_learn has to run before step_decide_batch")
    night.results += decide.decide_batch(night.wh, night.settings, night.learned, vehicle_ids, night.computing)
    night.say(f"decide: {len(night.results)} vehicles projected.")


def step_decide(night: Night) -> None:
    """Fleet-wide sums of all batches, written in one transaction."""
    night.computing.close()
    if night.learned is None:
        night.tell("decide", "nothing new since the last night; its tables stand.")
        return
    night.tell("decide", decide.write_results(night.wh, night.settings, night.learned, night.results))


def step_conform(night: Night) -> None:
    """A stratified sample through PyBaMM and the kernel; the night fails above its budget."""
    if night.changed:
        done = conform.conform(night.wh, night.settings, decide.conformance_candidates(night.results))
        night.tell("conform", done.sentence)
        if not done.passed:
            raise UserError(
                f"Model conformance failed: {done.sentence} Nothing was published; `fadecast check` lists the samples.",
                1,
            )


def step_check(night: Night) -> None:
    """SQL checks; the night fails when one selects a row."""
    failed = [c for c in check.data_checks(night.wh) if not c.passed]
    if failed:
        names = ", ".join(f"{c.name} ({c.rows} rows)" for c in failed)
        raise UserError(f"Data checks failed: {names}. Nothing was published; `fadecast check` shows the rows.", 1)
    night.tell("check", "all data checks pass.")


def step_publish(night: Night) -> None:
    """Pages and the serving copy, swapped in by one rename."""
    mark_done(night.wh, night.note)
    night.published = publish.publish(night.wh, night.settings, night.note.run_id)
    if night.changed:
        set_state(night.wh, "fleet", "night", night.version)
    text = f"published as {night.published}." if night.published else "no change, no publication."
    night.tell("publish", text)


@contextmanager
def opened_night(settings: Settings, as_of: date | None, say: Say) -> Iterator[Night]:
    """Lock, open and note a night; writes its row in meta_run whatever becomes of it."""
    settings = _of_home(settings)
    need_logs(settings.home)  # and make no home
    with ExitStack() as stack:
        stack.enter_context(writing(settings.home))
        note = stack.enter_context(night_lock(settings.home))
        finish_forgetting(settings)
        wh = stack.enter_context(open_warehouse(settings.home))
        if wh.scalar("SELECT count(*) FROM meta_part WHERE kind IN ('samples', 'sessions')") == 0:
            raise no_logs(settings.home)
        night = Night(settings, wh, note, as_of, say)
        start_run(wh, note, night.as_of)
        try:
            yield night
        except BaseException as e:
            night.computing.close()
            end_run(wh, note, night.as_of, "failed", f"{type(e).__name__}: {e}", None)
            raise
        end_run(wh, note, night.as_of, "done", "", night.published)


def _of_home(settings: Settings) -> Settings:
    """A demo home keeps the seed it was made with, so that a later night is the same night."""
    try:
        seed = json.loads((settings.home / "demo.json").read_text(encoding="utf-8"))["seed"]
    except (OSError, ValueError, KeyError):
        return settings
    return settings.model_copy(update={"seed": int(seed)})


def _result(night: Night) -> NightResult:
    return NightResult(night.note.run_id, str(night.as_of), night.changed, night.published, dict(night.summary))


def run_plain(settings: Settings, as_of: date | None = None, say: Say = lambda _: None) -> NightResult:
    """One night without Prefect: the same steps in the same order."""
    with opened_night(settings, as_of, say) as night:
        for step in (step_history, step_learn):
            night.note.at(step.__name__)
            step(night)
        night.note.at("step_decide_batch")
        for ids in night.batches:
            step_decide_batch(night, ids)
        for step in (step_decide, step_conform, step_check, step_publish):
            night.note.at(step.__name__)
            step(night)
        return _result(night)


def _prefect_tasks() -> dict[str, Any]:
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    def retry_if_not_user_error(_task: Any, _run: Any, state: Any) -> bool:
        try:
            state.result()
        except UserError:
            return False  # a sentence for the user: trying again tells nothing new
        except Exception:
            return True
        return False

    steps: list[Callable[..., None]] = [
        step_history,
        step_learn,
        step_decide_batch,
        step_decide,
        step_conform,
        step_check,
        step_publish,
    ]
    return {
        f.__name__: task(
            name=f.__name__.removeprefix("step_"),
            cache_policy=NO_CACHE,
            retries=1,
            retry_delay_seconds=2,
            retry_condition_fn=retry_if_not_user_error,
            persist_result=False,
        )(f)
        for f in steps
    }


def build_flow() -> Any:
    """The Prefect flow ``fadecast-nightly``: skins over the steps, with artifacts of what each said."""
    from prefect import flow
    from prefect.artifacts import create_markdown_artifact, create_table_artifact

    tasks = _prefect_tasks()

    @flow(name="fadecast-nightly", log_prints=False, validate_parameters=False)
    def fadecast_nightly(home: str, as_of: str | None = None, settings_json: str | None = None) -> dict[str, Any]:
        settings = Settings.model_validate_json(settings_json) if settings_json else Settings()
        settings = settings.model_copy(update={"home": type(settings.home)(home)})
        day = date.fromisoformat(as_of) if as_of else None
        with opened_night(settings, day, _console_say()) as night:

            def run(name: str, *args: Any) -> None:
                night.note.at(name)
                tasks[name](night, *args)

            run("step_history")
            run("step_learn")
            for ids in night.batches:
                run("step_decide_batch", ids)
            for name in ("step_decide", "step_conform", "step_check", "step_publish"):
                run(name)
            create_table_artifact(
                key="fadecast-night", table=[{"step": k, "said": v} for k, v in night.summary.items()]
            )
            create_markdown_artifact(
                key="fadecast-publication",
                markdown=f"As of **{night.as_of}**: {night.published or 'no change, no publication'}.",
            )
            done = _result(night)
            return {
                "run_id": done.run_id,
                "as_of": done.as_of,
                "changed": done.changed,
                "published": done.published,
                "summary": done.summary,
            }

    return fadecast_nightly


_SAY: list[Say] = []


def _console_say() -> Say:
    # A flow takes only what can be written as JSON; the console's printer is handed over beside it.
    return _SAY[-1] if _SAY else (lambda _: None)


def run_prefect(settings: Settings, as_of: date | None = None, say: Say = lambda _: None) -> NightResult:
    """One night as a Prefect flow run, on the server of ``PREFECT_API_URL`` or a temporary one of its own."""
    need_logs(settings.home)  # before a server is started in that folder
    check_writable(settings.home)
    free = shutil.disk_usage(settings.home).free
    if free < _SERVER_BYTES and not {"PREFECT_HOME", "PREFECT_API_URL"} & set(os.environ):
        raise UserError(
            f"Prefect's server keeps its files in {settings.home}, which has {free >> 20} MB free and should have"
            f" {_SERVER_BYTES >> 20}: make room, or run `fadecast nightly --no-prefect`."
        )
    # A temporary server keeps its files in this home, not in the user's.
    os.environ.setdefault("PREFECT_HOME", str((settings.home / "prefect").resolve()))
    flow_fn = build_flow()
    _SAY.append(say)
    try:
        out = flow_fn(str(settings.home), as_of.isoformat() if as_of else None, settings.model_dump_json())
    finally:
        _SAY.pop()
    return NightResult(out["run_id"], out["as_of"], out["changed"], out["published"], out["summary"])
