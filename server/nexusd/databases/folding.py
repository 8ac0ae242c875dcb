"""Ignoring case: text is compared in lower case, with one form of sigma.

Lower case is Unicode's, the same on both databases: SQLite has it from Python (`nexusd_fold`), PostgreSQL from one of
two collations, since `lower` under "C" knows ASCII only. The context rule for a sigma at the end of a word is undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Bound, Statement
from nexusd.databases.filters import Operator, Predicate
from nexusd.errors import NotSupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.databases.database import Session
    from nexusd.databases.filters import Condition

BUILTIN: Final = "pg_c_utf8"
"""In every PostgreSQL from version 17 on (postgresql.org/docs/current/collation.html)."""

ICU: Final = "und-x-icu"
"""Where PostgreSQL was built with ICU."""

FINAL_SIGMA: Final = "\N{GREEK SMALL LETTER FINAL SIGMA}"
SIGMA: Final = "\N{GREEK SMALL LETTER SIGMA}"
FOLDING: Final = frozenset({Operator.ILIKE, Operator.ICONTAINS})


def folds(condition: Condition) -> bool:
    """Whether the condition ignores case anywhere."""
    if isinstance(condition, Predicate):
        return condition.operator in FOLDING
    return any(folds(part) for part in condition.parts)


def folded(text: str, collation: str) -> str:
    """An SQL expression for the folded text (PostgreSQL)."""
    if collation == BUILTIN:
        # Its mappings are one to one; the only character whose lower case is two is written out.
        text = f"replace({text}, '\u0130', 'i\u0307')"
    return f"""replace(lower({text} COLLATE "{collation}"), '{FINAL_SIGMA}', '{SIGMA}')"""


async def find_collation(session: Session) -> str:
    """Which of the collations this PostgreSQL has.

    Raises:
        NotSupported: neither.
    """
    names = {row["name"] for row in (await session.run(_COLLATIONS)).rows}
    for name in (BUILTIN, ICU):
        if name in names:
            return name
    raise NotSupported("$ilike and $icontains need PostgreSQL 17 or newer, or one that was built with ICU")


def _name(row: Sequence[object]) -> dict[str, object]:
    return {"name": row[0]}


_COLLATIONS: Final = Bound(
    Statement(
        f"SELECT collname::text FROM pg_collation WHERE collname IN ('{BUILTIN}', '{ICU}')"  # noqa: S608
        " AND collnamespace = 'pg_catalog'::regnamespace"
        " AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))",
        _name,
        writes=False,
    ),
)
