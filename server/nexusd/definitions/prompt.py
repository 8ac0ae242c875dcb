"""A prompt of the registry: messages with blanks that a person fills in (MCP, "Prompts")."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from nexusd.definitions.template import Template


class Role(StrEnum):
    """Who says a message."""

    USER = "user"
    ASSISTANT = "assistant"


class Part(StrEnum):
    """What a message consists of."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    RESOURCE = "resource"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptArgument:
    """A blank.

    Attributes:
        values: what it may be; empty: any text.
    """

    name: str
    description: str = ""
    required: bool = True
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptMessage:
    """One message.

    Attributes:
        text: of a text, or of the resource that is embedded.
        file: of an image, of audio, or of the resource that is embedded.
        uri: of the resource that is embedded.
    """

    role: Role
    part: Part
    text: Template | str | None = None
    file: Path | None = None
    mime_type: str = ""
    uri: Template | str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt with its arguments in their order."""

    name: str
    title: str = ""
    description: str = ""
    arguments: tuple[PromptArgument, ...] = ()
    messages: tuple[PromptMessage, ...] = ()
