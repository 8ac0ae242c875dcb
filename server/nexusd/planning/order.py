"""The order of a workflow's nodes."""

from __future__ import annotations

import graphlib
import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class CycleError(ValueError):
    """The nodes wait for each other; `cycle` names them, the first again at the end."""

    def __init__(self, cycle: list[str]) -> None:
        self.cycle = cycle
        super().__init__(" -> ".join(cycle))


def topological_order(needs: Mapping[str, frozenset[str]]) -> list[str]:
    """The one canonical order in which every node stands behind what it needs; ties go by id.

    Raises:
        CycleError: there is none.
    """
    sorter = graphlib.TopologicalSorter(needs)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise CycleError(list(reversed(error.args[1]))) from error
    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, name)
        first = heapq.heappop(ready)
        order.append(first)
        sorter.done(first)
    return order
