"""What conditions say of the values that they read: `n > 3` has an answer for numbers alone."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from nexusd.definitions.condition import Comparison, Conjunction, Disjunction, Literal, Not, Reference
from nexusd.definitions.shape import OrNull
from nexusd.planning.intersection import intersect
from nexusd.planning.values import BOOLEAN, NUMBER, SOME_TEXT, Plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nexusd.definitions.condition import Cel, Condition
    from nexusd.definitions.shape import Shape

_BOOLEAN: Final = Plain(("boolean",), BOOLEAN)
_NUMBER: Final = Plain(("number",), NUMBER)
_SHAPES: Final[Mapping[type, Shape]] = {bool: _BOOLEAN, int: _NUMBER, Decimal: _NUMBER, str: SOME_TEXT}


def implied(condition: Condition | Cel) -> Iterator[tuple[Reference, Shape | None]]:
    """The paths of which a condition tells what they must lead to; None: null is among it.

    A comparison tells it of a path with a literal beside it, and so does a path that is a condition by itself; to be
    equal or not is asked of null too. Nothing is told by what only the whole of CEL can read.
    """
    if isinstance(condition, Reference):
        yield condition, _BOOLEAN
    elif isinstance(condition, Not):
        yield from implied(condition.operand)
    elif isinstance(condition, Conjunction | Disjunction):
        for part in condition.parts:
            yield from implied(part)
    elif isinstance(condition, Comparison) and condition.operator != "in":
        for path, literal in ((condition.left, condition.right), (condition.right, condition.left)):
            if isinstance(path, Reference) and isinstance(literal, Literal):
                shape = _SHAPES.get(type(literal.value))
                if shape is not None and condition.operator in {"==", "!="}:
                    shape = OrNull(shape)
                yield path, shape


def together(told: Iterable[Shape | None]) -> Shape | None:
    """What a value must be that conditions say this of; None where they say nothing that goes together."""
    found: Shape | None = None
    is_nullable = False
    for shape in told:
        if shape is None:
            is_nullable = True
            continue
        found = shape if found is None else intersect(found, shape)
        if found is None:
            return None
    is_wider = is_nullable and found is not None and not isinstance(found, OrNull)
    return OrNull(found) if found is not None and is_wider else found
