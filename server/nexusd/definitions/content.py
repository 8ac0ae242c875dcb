"""Content that is more than JSON: what a function may return for an MCP client to show.

A block is its own JSON form, that of MCP's content blocks (modelcontextprotocol.io, section "Tool Result"), so every
door can pass it on; the MCP door knows it by its class.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.definitions.shape import ListOf, OrNull, Record
from nexusd.errors import Fault

if TYPE_CHECKING:
    from nexusd.definitions.shape import Shape


class Block(dict[str, object]):
    """One content block; made by the functions of this module."""


class Text(Block):
    """A text of its own."""

    def __init__(self, text: str) -> None:
        super().__init__(type="text", text=text)


class Image(Block):
    """A picture, such as `Image(png, "image/png")`."""

    def __init__(self, data: bytes, mime_type: str) -> None:
        super().__init__(type="image", data=base64.b64encode(data).decode(), mimeType=mime_type)


class Audio(Block):
    """A sound, such as `Audio(wav, "audio/wav")`."""

    def __init__(self, data: bytes, mime_type: str) -> None:
        super().__init__(type="audio", data=base64.b64encode(data).decode(), mimeType=mime_type)


class Embedded(Block):
    """A resource with its content; text or bytes."""

    def __init__(self, uri: str, content: str | bytes, mime_type: str = "") -> None:
        resource: dict[str, object] = {"uri": uri}
        if isinstance(content, str):
            resource["text"] = content
        else:
            resource["blob"] = base64.b64encode(content).decode()
        if mime_type:
            resource["mimeType"] = mime_type
        super().__init__(type="resource", resource=resource)


class Link(Block):
    """A resource that the client can read itself, such as `nexusd://models/Contact`."""

    def __init__(self, uri: str, name: str, mime_type: str = "") -> None:
        super().__init__(type="resource_link", uri=uri, name=name)
        if mime_type:
            self["mimeType"] = mime_type


BLOCKS: Final = (Text, Image, Audio, Embedded, Link)


@dataclass(frozen=True, slots=True)
class BlockShape:
    """One content block."""

    def schema(self) -> dict[str, object]:
        """An object that says its type."""
        types = ["text", "image", "audio", "resource", "resource_link"]
        return {"type": "object", "properties": {"type": {"type": "string", "enum": types}}, "required": ["type"]}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """It is a block."""
        return [] if isinstance(value, Block) else [Fault(pointer, "type", "must be a content block")]

    def normalise(self, value: object) -> object:
        """The block itself, its class kept."""
        return value

    def at(self, _step: str | int) -> Shape | None:
        """What stands in it is for the one who shows it."""
        return None


def holds_blocks(shape: Shape) -> bool:
    """Whether there may be content in a value for an MCP client to show: it then gets no structured content."""
    if isinstance(shape, Record):
        return any(holds_blocks(each) for each in shape.properties.values())
    if isinstance(shape, OrNull):
        return holds_blocks(shape.shape)
    return holds_blocks(shape.items) if isinstance(shape, ListOf) else isinstance(shape, BlockShape)
