"""The inputs of a workflow: what its templates need, what it declares, and the decoder of what a caller sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nexusd.definitions.field_schema import portable
from nexusd.definitions.model import FieldType
from nexusd.definitions.shape import ANYTHING, Record, Scalar, escape
from nexusd.definitions.wire import read_json
from nexusd.documents import did_you_mean
from nexusd.errors import Fault, InvalidInput, MalformedBody
from nexusd.planning.implied import together
from nexusd.planning.intersection import intersect
from nexusd.planning.trees import along
from nexusd.planning.values import ANY, SCALAR, around, in_words, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.definitions.registry import RegistryPath
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.workflow import DeclaredInput
    from nexusd.nodes.node import Slot
    from nexusd.planning.control import Report
    from nexusd.planning.plan import InputDecoder

RESERVED: Final = frozenset({"now", "uuid", "input", "inputs", "item", "nodes"})
"""Names that templates begin with and that mean no input, unless `inputs.` stands before them."""

MAX_FAULTS: Final = 1000
"""Faults of one request that are told."""

HINTED_FAULTS: Final = 10
"""Unknown inputs for which a similar name is looked for, which takes long where there are many."""

MAX_DETAIL_NAMES: Final = 64
"""Characters of an unknown input's name that an error repeats."""


@dataclass(frozen=True, slots=True)
class Use:
    """One place where a template reads an input.

    Attributes:
        slot: what the place takes; None where anything goes.
        path: of the template in the registry.
        defaulted: the template has a value for when the input is left out.
    """

    slot: Slot | None
    path: RegistryPath
    defaulted: bool = False


@dataclass(slots=True)
class InputTable:
    """Collects uses, then says what each input is.

    Args:
        declared: the inputs that the workflow declares.
        report: is told of problems.
        locate: a place in words, for problems that have two.
    """

    declared: Mapping[str, DeclaredInput]
    report: Report
    locate: Callable[[RegistryPath], str]
    uses: dict[str, list[Use]] = field(default_factory=dict)
    told: dict[str, dict[tuple[str | int, ...], list[Shape | None]]] = field(default_factory=dict)

    def add(self, name: str, use: Use) -> None:
        """Note a use."""
        self.uses.setdefault(name, []).append(use)

    def imply(self, name: str, steps: tuple[str | int, ...], shape: Shape | None) -> None:
        """Note what a condition says of an input, or of a part of it; it counts where nothing else says anything."""
        self.told.setdefault(name, {}).setdefault(steps, []).append(shape)

    def infer(self) -> Record:
        """The inputs' shape."""
        properties: dict[str, Shape] = {}
        required: set[str] = set()
        # Declared inputs come first, in their order; the others follow as templates name them.
        for name in dict.fromkeys((*self.declared, *self.uses)):
            uses = self.uses.get(name, [])
            declaration = self.declared.get(name)
            properties[name] = self._shape(name, uses, declaration)
            if self._required(name, uses, declaration):
                required.add(name)
            if not uses:
                self._unused(name)
        return Record(properties, frozenset(required))

    def _unused(self, name: str) -> None:
        hint = f"{{{{ {name} }}}} means something else; the input is {{{{ inputs.{name} }}}}"
        self.report(("inputs", name), f"no template uses the input {name!r}", hint if name in RESERVED else "")

    def _shape(self, name: str, uses: list[Use], declaration: DeclaredInput | None) -> Shape:
        shape: Shape = ANYTHING
        seen: list[tuple[RegistryPath, Shape]] = []
        if declaration is not None and declaration.field.type is not FieldType.JSON:
            shape = Scalar(declaration.field)
            seen.append((("inputs", name), shape))
        for use in uses:
            if use.slot is None:
                continue
            narrower = intersect(shape, use.slot.shape)
            if narrower is None:
                self._conflict(name, use.path, use.slot.shape, seen)
            else:
                shape = narrower
                seen.append((use.path, use.slot.shape))
        if declaration is None:
            shape = self._with_conditions(name, shape)
        if declaration is not None and declaration.field.has_default:
            faults = shape.check(declaration.field.default, "")
            if faults:
                message = f"the default does not fit where the input is used: {faults[0].detail}"
                self.report(("inputs", name, "default"), message, "")
        return shape

    def _with_conditions(self, name: str, shape: Shape) -> Shape:
        """The shape, and what conditions say of the parts of which it says nothing."""
        for steps, told in self.told.get(name, {}).items():
            part, narrower = along(shape, steps), together(told)
            if part is not None and narrower is not None and kind_of(part) in {ANY, SCALAR}:
                shape = intersect(shape, around(narrower, steps)) or shape
        return shape

    def _conflict(self, name: str, path: RegistryPath, shape: Shape, seen: list[tuple[RegistryPath, Shape]]) -> None:
        """Tell both places that no value suits."""
        other, theirs = next((each for each in seen if intersect(each[1], shape) is None), seen[-1])
        message = f"the input {name!r} must be {in_words(shape)} here, and {in_words(theirs)} at {self.locate(other)}"
        self.report(path, message, "no value is both")

    def _required(self, name: str, uses: list[Use], declaration: DeclaredInput | None) -> bool:
        if declaration is not None and declaration.field.has_default:
            # It is never missing, so it may stand anywhere.
            return False
        declared = None if declaration is None else declaration.required
        if declared is True:
            return True
        needed = [use for use in uses if not use.defaulted and (use.slot is None or not use.slot.optional)]
        if declared is None:
            return bool(needed) or (declaration is not None and not uses)
        message = f"the input {name!r} is declared required: false, but is needed here"
        for use in needed:
            if use.slot is None or not use.slot.droppable:
                self.report(use.path, message, "")
        return False


def inputs_schema(inputs: Record, defaults: Mapping[str, object]) -> dict[str, object]:
    """The JSON Schema of an inputs object; each input has the default that counts when it is left out, and no other."""
    schema = portable(inputs.schema())
    properties = {}
    for name, shape in inputs.properties.items():
        part = portable(shape.schema())
        if name in inputs.required:
            # It is of a column, which gets its default where the input fills it and nowhere else.
            part.pop("default", None)
        properties[name] = {**part, "default": defaults[name]} if name in defaults else part
    return {**schema, "properties": properties}


def compile_decoder(inputs: Record, defaults: Mapping[str, object]) -> InputDecoder:
    """A function from the JSON text of an inputs object to checked, normalised inputs; every fault at once."""
    properties = inputs.properties
    required = [name for name in properties if name in inputs.required]

    def decode(body: bytes) -> dict[str, object]:
        values = read_json(body)
        if not isinstance(values, dict):
            raise MalformedBody("inputs must be a JSON object")
        decoded: dict[str, object] = dict(defaults)
        faults: list[Fault] = []
        for name, value in values.items():
            shape = properties.get(name)
            pointer = f"/inputs/{escape(name)}"
            if shape is None:
                faults.append(_unknown(name, properties if len(faults) < HINTED_FAULTS else {}))
                if len(faults) > MAX_FAULTS:
                    break
                continue
            found = shape.check(value, pointer)
            if found:
                faults += found
            else:
                decoded[name] = shape.normalise(value)
        faults += [Fault(f"/inputs/{name}", "required", "is required") for name in required if name not in values]
        if faults:
            raise refusal(faults)
        return decoded

    return decode


def _unknown(name: str, known: Mapping[str, Shape]) -> Fault:
    shown = name.encode("utf-8", "replace").decode()[:MAX_DETAIL_NAMES]
    hint = did_you_mean(shown, known)
    return Fault(
        f"/inputs/{escape(shown)}", "unknown", f"is not an input of this workflow{'; ' + hint if hint else ''}"
    )


def refusal(faults: list[Fault]) -> InvalidInput:
    """One error over all faults, or over so many; its text names the first places."""
    faults = faults[:MAX_FAULTS]
    lines = [f"{fault.pointer} {fault.detail}" for fault in faults[:5]]
    more = f" and {len(faults) - 5} more" if len(faults) > len(lines) else ""
    return InvalidInput("; ".join(lines) + more, faults=faults)
