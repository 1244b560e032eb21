"""What is made once of an object and kept as long as it lives."""

from __future__ import annotations

import gc
import weakref

from models.kept import kept


class Thing:
    """Known by identity alone."""


def test_made_once_of_each_object_and_of_what_else_is_given() -> None:
    calls: list[tuple[Thing, int]] = []

    @kept
    def pair(of: Thing, number: int) -> list[int]:
        calls.append((of, number))
        return [number]

    one, other = Thing(), Thing()
    assert pair(one, 1) is pair(one, 1)
    assert pair(one, 2) == [2] and pair(other, 1) is not pair(one, 1)
    assert calls == [(one, 1), (one, 2), (other, 1)]


def test_goes_with_the_object() -> None:
    made = []

    @kept
    def note(of: Thing) -> Thing:
        made.append(weakref.ref(result := Thing()))
        return result

    one = Thing()
    note(one)
    assert made[0]() is not None
    del one
    gc.collect()
    assert made[0]() is None
