"""What a running workflow may say to its caller, and ask of it, while the caller waits.

A door whose caller can hear passes a Conversation in the Invocation; without one everything is silent and nothing is
answered. A question has a name, so that a run that is started again finds the answer it was given before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Level: TypeAlias = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Elicit:
    """Asks the person behind the caller to fill in a form.

    Attributes:
        text: what the person reads.
        schema: JSON Schema of the form: an object of scalars.
    """

    text: str
    schema: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({"type": "object", "properties": {}}))


@dataclass(frozen=True, slots=True)
class Sample:
    """Asks the caller's language model to go on with a text.

    Attributes:
        messages: each `{role, content}`, as `sampling/createMessage` of MCP has them.
        options: further keys of that request, such as `systemPrompt` or `temperature`.
    """

    messages: tuple[Mapping[str, object], ...]
    max_tokens: int = 1000
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Roots:
    """Asks which folders the caller works in."""


Question: TypeAlias = Elicit | Sample | Roots

Answer: TypeAlias = object
"""As MCP has it in JSON: `{action, content}` for Elicit, `{role, content, model, …}` for Sample,
`{roots: [{uri, name}]}` for Roots; None where nobody could be asked."""


class Conversation(Protocol):
    """The line to one caller; used by one run, by several of its nodes at a time."""

    @property
    def client_capabilities(self) -> Mapping[str, object]:
        """What the caller said it can do, as MCP has it; empty where it said nothing."""

    async def progress(self, done: float, total: float | None, text: str) -> None:
        """Tell how far the run has come; the last word counts where several nodes speak."""

    async def step(self, done: int, total: int, node: str) -> None:
        """Tell that a node of the run's own workflow has ended, as the `done`th of `total`."""

    async def log(self, level: Level, text: str) -> None:
        """Tell a line."""

    async def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        """Ask all of these at once; an answer for each name.

        Raises:
            InputRequired: the run must end now; it is started again once the answers are there. It passes through
                everything (no `on_error`, no `retry`), and a transaction is rolled back.
        """


class _Silence:
    """Nobody listens."""

    client_capabilities: Mapping[str, object] = MappingProxyType({})

    async def progress(self, done: float, total: float | None, text: str) -> None:
        """Nothing."""

    async def step(self, done: int, total: int, node: str) -> None:
        """Nothing."""

    async def log(self, level: Level, text: str) -> None:
        """Nothing."""

    async def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        """No answers."""
        return dict.fromkeys(questions)


SILENCE: Final[Conversation] = _Silence()
"""The conversation of a run whose caller cannot hear."""
