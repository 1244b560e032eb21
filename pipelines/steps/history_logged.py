"""What the rows of a log say of their own quality, before any model looks at them."""

from __future__ import annotations

from collections import Counter

import polars as pl

from models.sessions import EXAMPLES, Finding

# Names that loggers write where there is none: largest integers, words for nothing (lbbrhzn/ocpp#45).
SENTINELS = [
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "4294967295",
    "2147483647",
    "-1",
    "null",
    "None",
    "NaN",
    "nan",
    "undefined",
    "00000000-0000-0000-0000-000000000000",
]


def logged_findings(samples: pl.DataFrame, logged: pl.DataFrame, late: pl.Series) -> tuple[Finding, ...]:
    """Findings of the rows themselves: flags set at intake, names that stand for none, samples that came late.

    Parameters
    ----------
    samples, logged
        Raw samples and sessions of one vehicle.
    late
        Times of samples that stand in their file behind a later one.
    """
    found: list[Finding] = []
    found += _of_flags(samples)
    found += _of_sessions(logged)
    for frame, time in ((samples, "time_utc"), (logged, "start_utc")):
        if not frame["session_ref"].rle().struct.field("value").is_in(SENTINELS).any():
            continue
        hit = frame.filter(pl.col("session_ref").is_in(SENTINELS))
        if hit.height:
            named = hit["session_ref"].n_unique()
            found.append(Finding("sentinel_id", hit.height, *_places(hit[time], named)))
    if late.len():
        found.append(Finding("late_rows", late.len(), *_places(late, 0)))
    return tuple(found)


def _places(times: pl.Series, sessions: int) -> tuple[str, int, tuple[str, ...]]:
    examples = tuple(times.sort().head(EXAMPLES).dt.strftime("%Y-%m-%dT%H:%M:%SZ").to_list())
    return examples[0], sessions, examples


def _of_flags(samples: pl.DataFrame) -> list[Finding]:
    if samples["flag"].null_count() == samples.height:
        return []
    flagged = samples.filter(pl.col("flag").is_not_null()).select("time_utc", "session_ref", "flag")
    if flagged.height == 0:
        return []
    each = flagged.with_columns(pl.col("flag").str.split(" ")).explode("flag").filter(pl.col("flag") != "")
    out: list[Finding] = []
    for rule in each["flag"].unique().sort().to_list():
        hit = each.filter(pl.col("flag") == rule)
        out.append(Finding(rule, hit.height, *_places(hit["time_utc"], hit["session_ref"].drop_nulls().n_unique())))
    return out


def _of_sessions(logged: pl.DataFrame) -> list[Finding]:
    if logged.height == 0:
        return []
    count: Counter[str] = Counter()
    places: dict[str, list[str]] = {}
    stamped = logged.sort("start_utc").select(pl.col("start_utc").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), "flags")
    for start, flags in stamped.iter_rows():
        for rule in flags or ():
            count[rule] += 1
            if len(places.setdefault(rule, [])) < EXAMPLES:
                places[rule].append(start)
    return [Finding(rule, n, places[rule][0], n, tuple(places[rule])) for rule, n in sorted(count.items())]
