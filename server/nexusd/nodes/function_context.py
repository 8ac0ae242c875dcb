"""What a function of a FunctionNode can ask for: a param named `ctx`, or annotated with one of these classes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from nexusd.definitions.conversation import SILENCE, Elicit, Roots, Sample
from nexusd.errors import Cancelled, InputRequired

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nexusd.definitions.conversation import Answer, Conversation, Level, Question
    from nexusd.definitions.principal import Principal
    from nexusd.nodes.node import NodeContext


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Elicited:
    """What became of a form.

    Attributes:
        action: `accept`, `decline`, or `cancel`; the last also where nobody could be asked.
        content: what was filled in.
    """

    action: str
    content: Mapping[str, object] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether the form was filled in."""
        return self.action == "accept"


class _Facts:
    """What is known of a run without asking anybody."""

    def __init__(self, node: NodeContext) -> None:
        self._node = node
        self._conversation: Conversation = node.invocation.conversation or SILENCE
        self.suspended: InputRequired | None = None

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be kept; what the function changes outside, it must leave out itself."""
        return self._node.invocation.dry_run

    @property
    def deadline(self) -> float:
        """`time.monotonic()` by which the function must have ended."""
        return self._node.deadline

    @property
    def execution_id(self) -> str:
        """Of the run; the same in a replay."""
        return self._node.execution_id

    @property
    def principal(self) -> Principal:
        """Who is calling."""
        return self._node.invocation.principal

    @property
    def client_capabilities(self) -> Mapping[str, object]:
        """What the caller said it can do, as MCP has it; empty outside of MCP."""
        return self._conversation.client_capabilities

    async def _ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        try:
            return await self._conversation.ask(questions)
        except InputRequired as error:
            # Kept, so that a function which catches everything does not go on without its answers.
            self.suspended = error
            raise


class Context(_Facts):
    """The line to the caller of a coroutine function. Outside of MCP it is silent: nobody hears, nobody answers."""

    async def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Tell how far the work has come."""
        await self._conversation.progress(done, total, text)

    async def log(self, text: str, level: Level = "info") -> None:
        """Tell the caller a line; the server's own log is not meant."""
        await self._conversation.log(level, text)

    async def elicit(self, name: str, text: str, schema: Mapping[str, object]) -> Elicited:
        """Ask the person behind the caller to fill in a form; `name` tells this question from the run's others."""
        return _elicited((await self._ask({name: Elicit(text, schema)}))[name])

    async def sample(
        self, name: str, messages: list[Mapping[str, object]], max_tokens: int = 1000, **options: object
    ) -> Mapping[str, object] | None:
        """Let the caller's language model go on with a text; None where it has none."""
        question = Sample(tuple(messages), max_tokens, options)
        return _mapping((await self._ask({name: question}))[name])

    async def roots(self, name: str = "roots") -> list[Mapping[str, object]]:
        """The folders the caller works in, each `{uri, name}`."""
        return _roots((await self._ask({name: Roots()}))[name])

    async def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        """Ask several things at once: Elicit, Sample and Roots by name; the answers as MCP has them in JSON."""
        return await self._ask(questions)


class BlockingContext(_Facts):
    """The same for a function that runs in a thread; each call waits until it is done."""

    def __init__(self, node: NodeContext) -> None:
        super().__init__(node)
        self._loop = asyncio.get_running_loop()
        self._asked: Future[object] | None = None
        self._ended = False

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more; a long function should look, and end."""
        return self._ended

    def end(self) -> None:
        """Say that nobody waits any more; called by the node."""
        self._ended = True
        if self._asked is not None:
            self._asked.cancel()

    def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """See Context."""
        self._wait(self._conversation.progress(done, total, text))

    def log(self, text: str, level: Level = "info") -> None:
        """See Context."""
        self._wait(self._conversation.log(level, text))

    def elicit(self, name: str, text: str, schema: Mapping[str, object]) -> Elicited:
        """See Context."""
        return _elicited(self.ask({name: Elicit(text, schema)})[name])

    def sample(
        self, name: str, messages: list[Mapping[str, object]], max_tokens: int = 1000, **options: object
    ) -> Mapping[str, object] | None:
        """See Context."""
        return _mapping(self.ask({name: Sample(tuple(messages), max_tokens, options)})[name])

    def roots(self, name: str = "roots") -> list[Mapping[str, object]]:
        """See Context."""
        return _roots(self.ask({name: Roots()})[name])

    def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        """See Context."""
        return self._wait(self._ask(questions))

    def _wait(self, call: Coroutine[object, object, T]) -> T:
        """Run a coroutine on the run's loop, from the function's thread.

        Raises:
            Cancelled: the run has ended without the function.
        """
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        self._asked = cast("Future[object]", future)
        if self._ended:
            future.cancel()
        try:
            return future.result()
        except CancelledError:
            raise Cancelled from None


def _elicited(answer: Answer) -> Elicited:
    found = _mapping(answer) or {}
    return Elicited(str(found.get("action", "cancel")), _mapping(found.get("content")) or {})


def _roots(answer: Answer) -> list[Mapping[str, object]]:
    found = (_mapping(answer) or {}).get("roots")
    return found if isinstance(found, list) else []


def _mapping(value: object) -> Mapping[str, object] | None:
    return value if isinstance(value, Mapping) else None
