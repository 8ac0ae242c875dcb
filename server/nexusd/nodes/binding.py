"""Binding a params tree: which slot each template fills, and what is wrong with the literals around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, cast

from nexusd.definitions.model import MISSING, FieldType
from nexusd.definitions.shape import Anything, OrNull, Record, Scalar
from nexusd.documents import did_you_mean
from nexusd.nodes.node import Binding, ParamProblem, Slot
from nexusd.nodes.shapes import FieldTest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexusd.definitions.shape import Shape
    from nexusd.nodes.node import ParamPath, Placeholder


class Purpose(Enum):
    """What a value is for; it decides whether an input that gives the value may be left out.

    FILL: a field of a new record; may be left out when the record can do without.
    CHANGE: a field of an existing record; may be left out, by itself only when nullable or defaulted.
    SELECT: it narrows what a reading node sees; may be left out when the input is declared so.
    NEED: it identifies or narrows what is written; never left out.
    OPTION: it has a default.
    CHOICE: one of several ways to say something; may be left out when the input is declared so.
    """

    FILL = "fill"
    CHANGE = "change"
    SELECT = "select"
    NEED = "need"
    OPTION = "option"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Param:
    """One param of a node type.

    Attributes:
        purpose: of the param when one template is the whole of it.
        inside: of what stands inside it.
        required: it must be given, by the declaration or by a connection.
    """

    shape: Shape
    purpose: Purpose = Purpose.OPTION
    inside: Purpose = Purpose.NEED
    required: bool = False


_TEXTUAL: Final = frozenset(FieldType) - {FieldType.INT, FieldType.FLOAT, FieldType.BOOL, FieldType.ARRAY}
_NO_TEXT: Final = ("a template inside a text gives text, which does not fit here", "let it stand alone")
_LITERALS: Final = (str, int, float, list, dict, tuple, type(None))


def is_placeholder(value: object) -> bool:
    """Whether a template stands here: the planner's placeholders are no JSON values."""
    return not isinstance(value, _LITERALS)


def has_placeholder(value: object) -> bool:
    """Whether a template stands here or anywhere inside."""
    if isinstance(value, dict):
        return any(has_placeholder(item) for item in value.values())
    if isinstance(value, list):
        return any(has_placeholder(item) for item in value)
    return is_placeholder(value)


def slot(shape: Shape, purpose: Purpose) -> Slot:
    """The slot for a template that gives a value for this purpose."""
    if purpose is Purpose.OPTION:
        return Slot(shape, optional=True)
    if purpose in {Purpose.SELECT, Purpose.CHOICE}:
        return Slot(shape, droppable=True)
    if purpose is Purpose.NEED or not isinstance(shape, Scalar):
        return Slot(shape)
    if purpose is Purpose.FILL:
        return Slot(shape, optional=not shape.field.required_on_create)
    optional = shape.field.nullable or shape.field.default is not MISSING
    return Slot(shape, optional=optional, droppable=not optional)


@dataclass(slots=True)
class Binder:
    """Walks a params tree along the shapes and fills a Binding."""

    binding: Binding = field(default_factory=Binding)

    def problem(self, path: ParamPath, message: str, hint: str = "") -> None:
        """Note a problem at a place of the params."""
        self.binding.problems.append(ParamProblem(("params", *path), message, hint))

    def unknown(self, what: str, path: ParamPath, known: Iterable[str]) -> None:
        """Note that the last step of `path` is not known."""
        name = str(path[-1])
        self.problem(path, f"there is no {what} named {name!r}", did_you_mean(name, known))

    def bind(self, shape: Shape, value: object, path: ParamPath, purpose: Purpose, inside: Purpose) -> None:
        """Bind the value at `path`."""
        if is_placeholder(value):
            self._template(shape, value, path, purpose)
        elif isinstance(shape, Record) and isinstance(value, dict):
            self._record(shape, value, path, inside)
        elif has_placeholder(value):
            self._parts(shape, value, path, inside)
        else:
            for fault in shape.check(value, ""):
                self.problem((*path, *steps(fault.pointer)), fault.detail)

    def _template(self, shape: Shape, value: object, path: ParamPath, purpose: Purpose) -> None:
        if isinstance(shape, FieldTest):
            # A template gives the value that is compared, never operators.
            shape = shape.value
        if isinstance(shape, Anything | Scalar):
            self.check_text(shape, value, path)
        elif not cast("Placeholder", value).is_whole:
            self.problem(path, *_NO_TEXT)
        self.binding.slots[path] = slot(shape, purpose)

    def check_text(self, shape: Shape, value: object, path: ParamPath) -> None:
        """Note that a text with templates in it never fits, whatever they give."""
        while isinstance(shape, OrNull):
            shape = shape.shape
        template = cast("Placeholder", value)
        if template.is_whole or not isinstance(shape, Scalar):
            return
        column, pieces = shape.field, template.pieces
        count = sum(len(piece) for piece in pieces)
        if column.type not in _TEXTUAL:
            self.problem(path, *_NO_TEXT)
        elif column.type is FieldType.STR and column.max_length is not None and count > column.max_length:
            message = f"the text around the template has {count} characters already; at most {column.max_length} fit"
            self.problem(path, message)
        elif column.type is FieldType.ENUM and not any(_can_become(pieces, word) for word in column.values):
            message = f"this text is never one of {', '.join(column.values)}, whatever the template gives"
            self.problem(path, message)

    def _record(self, shape: Record, value: Mapping[str, object], path: ParamPath, inside: Purpose) -> None:
        for name in shape.properties:
            if name in shape.required and name not in value:
                self.problem(path, f"{name!r} is required")
        for name, item in value.items():
            part = shape.properties.get(name)
            if part is not None:
                self.bind(part, item, (*path, name), inside, inside)
            elif shape.closed:
                self.unknown("field", (*path, name), shape.properties)

    def _parts(self, shape: Shape, value: object, path: ParamPath, inside: Purpose) -> None:
        entries: Iterable[tuple[str | int, object]] = ()
        if isinstance(value, dict):
            entries = value.items()
        elif isinstance(value, list):
            entries = enumerate(value)
        for step, item in entries:
            part = shape.at(step)
            if part is not None:
                self.bind(part, item, (*path, step), inside, inside)
                continue
            unknown = [fault.detail for fault in shape.check({step: None}, "") if fault.code == "unknown"]
            self.problem((*path, step), unknown[0] if unknown else "nothing can stand here")


def _can_become(pieces: tuple[str, ...], word: str) -> bool:
    """Whether there are texts to put between the pieces so that the whole is this word."""
    fits = sum(len(piece) for piece in pieces) <= len(word)
    return fits and word.startswith(pieces[0]) and word.endswith(pieces[-1])


def steps(pointer: str) -> ParamPath:
    """A JSON pointer as a path; steps of digits are indexes."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    return tuple(int(part) if part.isdecimal() else part for part in parts)
