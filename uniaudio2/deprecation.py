"""Names of yesterday that still work, and say so."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


def renamed_argument(old: str, new: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Accept a keyword argument by its former name, with a `DeprecationWarning`.

    Args:
        old: the former name.
        new: the name that the function has.

    Raises:
        TypeError: (when called) both names are given.
    """

    def wrap(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(f"{old} and {new} are one argument; leave {old} out")
                warnings.warn(
                    f"{function.__qualname__}: {old} is called {new}", DeprecationWarning, 2
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return wrap
