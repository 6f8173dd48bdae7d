"""Settings of fits and methods: whole numbers, tolerances."""

from collections.abc import Callable
from typing import Any

from ..geometry import checks


def whole(owner: str, name: str, least: int = 0, optional: bool = False) -> Callable[[Any], Any]:
    """A converter to whole numbers from a least one on; with `optional` also of `None`, to itself.

    See `geometry.checks.whole`.
    """
    convert = checks.whole(owner, name, least)
    return lambda value: None if optional and value is None else convert(value)


def check_tolerance(owner: str, tolerance: Any) -> None:
    """Refuse what is neither `None` nor a number that is not negative.

    Raises:
        ValueError: another tolerance.
    """
    if tolerance is None:
        return
    try:
        good = float(tolerance) >= 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(f"{owner}: `tolerance` must not be negative, but is {tolerance!r}.")


def check_forgetting(owner: str, decay: float, delay: float) -> None:
    """Refuse rates at which averages over blocks do not converge (Robbins & Monro 1951).

    Raises:
        ValueError: another decay or delay.
    """
    if not 0.5 < decay <= 1:
        raise ValueError(
            f"{owner}: `decay` must be greater than 0.5 and at most 1, but is {decay}."
        )
    if not delay >= 0:
        raise ValueError(f"{owner}: `delay` must not be negative, but is {delay}.")
