"""What is made once of an object and kept as long as that object lives."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

_Of = TypeVar("_Of")
_More = ParamSpec("_More")
_Made = TypeVar("_Made")


def kept(make: Callable[Concatenate[_Of, _More], _Made]) -> Callable[Concatenate[_Of, _More], _Made]:
    """A function that makes its result once of each object, and of what else it is given, by position.

    The object is known by identity and held weakly, unlike by ``functools.lru_cache``: years are large, and many.
    """
    known: WeakKeyDictionary[_Of, dict[Hashable, _Made]] = WeakKeyDictionary()

    @wraps(make)
    def found(of: _Of, /, *more: _More.args, **named: _More.kwargs) -> _Made:
        made = known.setdefault(of, {})
        key = (more, *named.items())
        if key not in made:
            made[key] = make(of, *more, **named)
        return made[key]

    return found
