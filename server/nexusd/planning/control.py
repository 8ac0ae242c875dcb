"""The control keys of a node, read: conditions, the list of a foreach, what a failure leads to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from nexusd.definitions.cel import read_cel
from nexusd.definitions.condition import ConditionSyntaxError, parse_condition, references
from nexusd.definitions.template import Template
from nexusd.documents import did_you_mean
from nexusd.nodes.node import Choice, FirstOf
from nexusd.planning.cel import CelMissing, NotCel, compile_cel
from nexusd.planning.conditions import ConditionCompiler, ConditionTypeError
from nexusd.planning.implied import implied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nexusd.definitions.condition import Cel, Condition, Reference
    from nexusd.definitions.registry import RegistryPath
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.workflow import Node, Workflow
    from nexusd.planning.plan import Scope
    from nexusd.planning.render import Getter

Report: TypeAlias = "Callable[[RegistryPath, str, str], None]"

FAIL: Final = "fail"
CONTINUE: Final = "continue"

MAX_ITEMS: Final = 10_000
"""The longest list that a foreach takes."""


@dataclass(slots=True)
class Control:
    """The control keys of one node.

    Attributes:
        conditions: `when`, and the cases of a SwitchNode, by their path below the node.
        choices, sources: derived params.
        compiled: the conditions as functions, once they are checked.
    """

    conditions: dict[tuple[str, ...], Condition | Cel] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    sources: dict[str, FirstOf] = field(default_factory=dict)
    compiled: dict[tuple[str, ...], Callable[[Scope], bool]] = field(default_factory=dict)

    def uses(self) -> Iterator[tuple[tuple[str, ...], list[tuple[Reference, bool]]]]:
        """For each condition the paths that it reads, and whether each may lead nowhere."""
        for path, condition in self.conditions.items():
            found = list(references(condition))
            asked = {reference.path for reference, only_asked in found if only_asked}
            yield path, [(reference, reference.path in asked) for reference, _ in found]

    def implied(self) -> Iterator[tuple[Reference, Shape | None]]:
        """What the conditions say of the paths that they read."""
        for condition in self.conditions.values():
            yield from implied(condition)

    def compile(self, compiler: ConditionCompiler, path: RegistryPath, report: Report) -> None:
        """Make functions of the conditions."""
        for below, condition in self.conditions.items():
            try:
                self.compiled[below] = compiler.compile(condition)
            except ConditionTypeError as error:
                report((*path, *below), str(error), "")

    def derived(self) -> dict[str, Getter]:
        """What gives the derived params."""
        getters: dict[str, Getter] = {}
        for name, choice in self.choices.items():
            cases = {case: self.compiled["cases", case] for case in choice.cases}
            getters[name] = _choosing(cases, choice.default)
        for name, first in self.sources.items():
            getters[name] = _first_of(first.nodes)
        return getters


def read_control(node: Node, derived: Mapping[str, Choice | FirstOf], report: Report) -> Control:
    """Parse what stands in a node's control keys."""
    control = Control()
    path: RegistryPath = ("nodes", node.id)
    texts: dict[tuple[str, ...], str] = {}
    if node.when is not None:
        texts["when",] = node.when
    for name, value in derived.items():
        if isinstance(value, FirstOf):
            control.sources[name] = value
            continue
        control.choices[name] = value
        texts |= {("cases", case): text for case, text in value.cases.items()}
    for below, text in texts.items():
        try:
            control.conditions[below] = parse_condition(text)
        except ConditionSyntaxError as error:
            beyond, hint = _beyond_the_subset(text)
            if beyond is None:
                report((*path, *below), f"not a condition: {hint[0] or error}", hint[1])
            else:
                control.conditions[below] = beyond
    if node.concurrency is not None and node.foreach is None:
        report((*path, "concurrency"), "concurrency means something only beside foreach", "")
    return control


def _beyond_the_subset(text: str) -> tuple[Cel | None, tuple[str, str]]:
    """The condition in the whole of CEL; None where it is none, with what to say instead and a hint."""
    try:
        condition = read_cel(text)
        compile_cel(condition)
    except CelMissing:
        return None, ("", "for all of CEL install the extra: pip install 'nexusd[cel]'")
    except NotCel:
        return None, ("", "")
    except ConditionSyntaxError as error:
        return None, (str(error), "")
    return condition, ("", "")


def check_foreach(node: Node, parsed: object, report: Report) -> None:
    """A foreach is a list, or a template that is the whole value."""
    whole = isinstance(parsed, Template) and parsed.is_whole
    if not whole and not isinstance(parsed, list):
        report(("nodes", node.id, "foreach"), "foreach takes a list, or a template that gives one", "")
    elif isinstance(parsed, list) and len(parsed) > MAX_ITEMS:
        report(("nodes", node.id, "foreach"), f"foreach takes at most {MAX_ITEMS} items", "")


def check_handlers(
    workflow: Workflow, needs: Mapping[str, frozenset[str]], report: Report
) -> Iterator[tuple[str, str]]:
    """Nodes with what takes over when they fail, which must be there and not be needed before the failure."""
    ids = {node.id: node for node in workflow.nodes}
    for node in workflow.nodes:
        target = node.on_error
        path: RegistryPath = ("nodes", node.id, "on_error")
        if target in {FAIL, CONTINUE}:
            continue
        if target not in ids:
            message = f"on_error is fail, continue or a node; there is no node {target!r}"
            report(path, message, did_you_mean(target, ids))
        elif target == node.id or target in _before(node.id, needs):
            report(path, f"{target} does not come after {node.id}", "")
        else:
            yield node.id, target


def check_takeovers(
    workflow: Workflow, needs: Mapping[str, frozenset[str]], gatherers: frozenset[str], report: Report
) -> None:
    """A node that takes over must not wait for what a failure leaves without a result: it would never run."""
    rescued = rescues(workflow)
    for node in workflow.nodes:
        target = node.on_error
        if target in gatherers or target not in needs:
            continue
        for needed in sorted(needs[target] - rescued[target]):
            if needed not in gatherers and node.id in _before(needed, needs, gatherers):
                message = f"{target} waits for {needed}, which has no result when {node.id} failed"
                report(("nodes", node.id, "on_error"), message, "it would never run")


def _before(name: str, needs: Mapping[str, frozenset[str]], gatherers: frozenset[str] = frozenset()) -> set[str]:
    """Everything a node waits for, however indirectly; not through `gatherers`, which run without some of it."""
    found: set[str] = set()
    left = list(needs[name])
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += () if each in gatherers else needs[each]
    return found


def rescues(workflow: Workflow) -> Mapping[str, frozenset[str]]:
    """For each node that takes over the nodes whose failure starts it."""
    found: dict[str, set[str]] = {}
    for node in workflow.nodes:
        if node.on_error not in {FAIL, CONTINUE}:
            found.setdefault(node.on_error, set()).add(node.id)
    return {name: frozenset(failing) for name, failing in found.items()}


def absentable(workflow: Workflow, needs: Mapping[str, frozenset[str]], gatherers: frozenset[str]) -> frozenset[str]:
    """The nodes that may end without a result: skipped, or failed where the run goes on."""
    rescued = rescues(workflow)
    absent = {
        node.id for node in workflow.nodes if node.when is not None or node.on_error != FAIL or node.id in rescued
    }
    left = list(absent)
    followers: dict[str, list[str]] = {name: [] for name in needs}
    for name, needed in needs.items():
        for each in needed:
            followers[each].append(name)
    while left:
        for name in followers[left.pop()]:
            if name not in absent and name not in gatherers:
                absent.add(name)
                left.append(name)
    # A MergeNode is without a result only where all its sources are.
    return frozenset(absent | {name for name in gatherers if needs[name] & absent})


def _choosing(cases: Mapping[str, Callable[[Scope], bool]], default: str | None) -> Getter:
    def get(scope: Scope) -> object:
        return next((name for name, holds in cases.items() if holds(scope)), default)

    return get


def _first_of(nodes: tuple[str, ...]) -> Getter:
    def get(scope: Scope) -> object:
        return next((scope.nodes[name] for name in nodes if name not in scope.absent), None)

    return get
