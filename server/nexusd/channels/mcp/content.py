"""What a workflow answers, as the content of a tool's result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions.content import Block

if TYPE_CHECKING:
    from collections.abc import Mapping


def split(outputs: Mapping[str, object]) -> tuple[list[Block], dict[str, object]]:
    """The content blocks in the outputs, in order, and what is left of the outputs without them."""
    blocks: list[Block] = []
    rest = _without(outputs, blocks)
    return blocks, rest if isinstance(rest, dict) else {}


def _without(value: object, blocks: list[Block]) -> object:
    """A value without its blocks; None where nothing else was in it."""
    if isinstance(value, Block):
        blocks.append(value)
        return None
    if isinstance(value, list) and value:
        kept = [rest for item in value if (rest := _without(item, blocks)) is not None]
        return kept or None
    if isinstance(value, dict) and value:
        kept_items = {name: rest for name, item in value.items() if (rest := _without(item, blocks)) is not None}
        return kept_items or None
    return value
