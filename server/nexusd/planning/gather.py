"""What is known of the results that MergeNodes pass on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions.shape import ANYTHING, ListOf, any_of
from nexusd.documents import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.planning.assemble import Part
    from nexusd.planning.control import Report


def gather(parts: Mapping[str, Part]) -> None:
    """Say of the nodes that pass on what others give what that may be."""
    for part in parts.values():
        if part.control.sources:
            given = any_of(parts[name].result for name in _sources(part, parts)) or ANYTHING
            part.result = given if part.foreach is None else ListOf(given)


def check_sources(part: Part, nodes: frozenset[str], report: Report) -> Iterator[str]:
    """The nodes of which a node passes on a result, as it names them; a problem where one is none."""
    for first in part.control.sources.values():
        for i, name in enumerate(first.nodes):
            if name in nodes and name != part.node.id:
                yield name
            else:
                hint = did_you_mean(name, nodes - {part.node.id})
                report(("nodes", part.node.id, "from", i), f"there is no other node {name!r}", hint)


def _sources(part: Part, parts: Mapping[str, Part]) -> Iterator[str]:
    """The nodes whose results a node may pass on, also through others that do the same."""
    found: set[str] = set()
    left = [part]
    while left:
        for name in (name for first in left.pop().control.sources.values() for name in first.nodes):
            source = parts.get(name)
            if source is None or name in found:
                continue
            found.add(name)
            if source.control.sources and source.foreach is None:
                left.append(source)
            else:
                yield name
