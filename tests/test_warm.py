"""What `make setup` compiles is what large logs need: afterwards nothing is compiled for other types."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

from numba.core.registry import CPUDispatcher

from pipelines.warm import warm_readers
from warehouse.formatspec import load_format
from warehouse.readers import fast, kernels, ocpp_names, ocpp_records, ocpp_tokens, ocpp_words, table
from warehouse.readers.source import BLOCK_BYTES, BytesSource

COMPILED = (kernels, ocpp_names, ocpp_records, ocpp_tokens, ocpp_words)
# Loops that are called from Python; the others are compiled into them.
CALLED = {
    "count_nonblank", "look", "places_by_owner", "parse", "_not_blank", "_split_elements", "_count_elements",
    "_pass", "_texts", "_rows", "line_breaks", "text_code",
}  # fmt: skip


def compiled(module: ModuleType) -> Iterator[tuple[str, list[Any]]]:
    for name, thing in vars(module).items():
        if isinstance(thing, CPUDispatcher) and thing.py_func.__module__ == module.__name__:
            yield name, list(thing.signatures)


def test_every_loop_of_the_readers_is_compiled_for_the_types_that_large_logs_have() -> None:
    warm_readers()
    before = {name: found for module in COMPILED for name, found in compiled(module)}
    assert {name for name, found in before.items() if found} >= CALLED
    spec = load_format("fadecast_samples")
    head = "vehicle,time_utc,session,state,voltage_v,current_a,soc_pct,battery_temp_c,ambient_c,power_kw,odometer_km\n"
    row = "car,2025-01-01T00:00:00Z,s,drive,350,,55.5,,15,,\n"
    rows = (BLOCK_BYTES + 2 * fast.MIN_BYTES) // len(row)
    source = BytesSource((head + row * rows).encode(), table.counter(spec))
    assert sum(b.rows["samples"].height for b in table.read(source, spec)) == source.records == rows
    assert before == {name: found for module in COMPILED for name, found in compiled(module)}
