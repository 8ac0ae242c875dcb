"""What nexusd adds to SQLite: the same on every connection that touches a model's tables."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3


FINAL_SIGMA: Final = "\N{GREEK SMALL LETTER FINAL SIGMA}"
SIGMA: Final = "\N{GREEK SMALL LETTER SIGMA}"


def register_functions(connection: sqlite3.Connection) -> None:
    """Register the collation `nexusd_decimal` and the function `nexusd_fold`."""
    connection.create_collation("nexusd_decimal", _compare_decimals)
    connection.create_function("nexusd_fold", 1, _fold, deterministic=True)


def _compare_decimals(first: str, second: str) -> int:
    """Order decimal texts by value; what is no decimal stands behind them, by text."""
    a, b = _decimal(first), _decimal(second)
    if a is None or b is None:
        if (a is None) is not (b is None):
            return 1 if a is None else -1
        return (first > second) - (first < second)
    return (a > b) - (a < b)


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _fold(value: str | bytes | float | None) -> str | bytes | float | None:
    """Lower case with one sigma, as PostgreSQL folds in `conditions.py`: ß is not ss, the final sigma is a sigma."""
    return value.lower().replace(FINAL_SIGMA, SIGMA) if isinstance(value, str) else value
