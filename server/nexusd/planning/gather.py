"""What is known of the results that MergeNodes pass on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions.shape import ANYTHING, ListOf, any_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.planning.assemble import Part


def gather(parts: Mapping[str, Part]) -> None:
    """Say of the nodes that pass on what others give what that may be."""
    for part in parts.values():
        if part.control.sources:
            given = any_of(parts[name].result for name in _sources(part, parts)) or ANYTHING
            part.result = given if part.foreach is None else ListOf(given)


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
