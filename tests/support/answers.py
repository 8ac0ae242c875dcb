"""What tests read out of the answers and errors of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from nexusd.errors import NexusError
    from tests.support.nodes import Nodes


def pointers(error: NexusError) -> list[tuple[str, str]]:
    """Where the faults are, and of what kind."""
    return [(fault.pointer, fault.code) for fault in error.faults]


async def answer_of(nodes: Nodes, node: str, /, **params: object) -> dict[str, object]:
    """The result of a node that answers an object."""
    return cast("dict[str, object]", await nodes.run(node, **params))


async def records_of(nodes: Nodes, model: str = "Contact", /, **params: object) -> list[dict[str, object]]:
    """The records of a page."""
    return cast("list[dict[str, object]]", (await answer_of(nodes, f"{model}List", **params))["records"])


def entries_of(answer: dict[str, object]) -> list[dict[str, object]]:
    """What a bulk node says of each record."""
    return cast("list[dict[str, object]]", answer["results"])


def outcomes_of(answer: dict[str, object]) -> list[tuple[object, ...]]:
    """For each entry index, outcome and version, in the order answered."""
    return [(entry["index"], entry["outcome"], entry["version"]) for entry in entries_of(answer)]


def errors_of(answer: dict[str, object]) -> list[tuple[str, str]]:
    """Code and pointer of each entry that failed."""
    errors = [cast("dict[str, str]", entry["error"]) for entry in entries_of(answer) if "error" in entry]
    return [(error["code"], error["pointer"]) for error in errors]


def counts_of(answer: dict[str, object]) -> list[object]:
    """The counts, in the order of the contract."""
    return [value for name, value in answer.items() if name != "results"]
