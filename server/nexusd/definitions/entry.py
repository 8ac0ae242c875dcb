"""A cursor over a document: it asks for typed values and notes what is wrong, so reading goes on past a mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nexusd.documents import Document, DocumentPath, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nexusd.errors import Problem


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a document and the place it stands at."""

    document: Document
    value: object
    path: DocumentPath = ()
    problems: list[Problem] = field(default_factory=list, repr=False)

    def wrong(self, message: str, hint: str = "") -> None:
        """Note a problem at the value."""
        self.problems.append(self.document.places[self.path].problem(message, hint))

    def wrong_key(self, key: str, message: str, hint: str = "") -> None:
        """Note a problem at one of the keys of this mapping."""
        self.problems.append(self.document.keys[(*self.path, key)].problem(message, hint))

    def child(self, step: str | int) -> Entry:
        """The entry one step below; it must exist."""
        value = self.value[step]  # type: ignore[index]
        return Entry(self.document, value, (*self.path, step), self.problems)

    def items(self, what: str) -> Iterator[tuple[str, Entry]]:
        """The entries of a mapping; a null is an empty one."""
        if isinstance(self.value, dict):
            for key in self.value:
                yield key, self.child(key)
        elif self.value is not None:
            self.wrong(f"{what} must be a mapping")

    def options(self, known: Collection[str], what: str) -> dict[str, Entry]:
        """The entries of a mapping whose keys are a closed set."""
        found: dict[str, Entry] = {}
        for key, entry in self.items(what):
            if key in known:
                found[key] = entry
            else:
                self.wrong_key(key, f"unknown key {key!r} in {what}", did_you_mean(key, known))
        return found

    def elements(self, what: str) -> list[Entry]:
        """The entries of a list; a null is an empty one."""
        if isinstance(self.value, list):
            return [self.child(i) for i in range(len(self.value))]
        if self.value is not None:
            self.wrong(f"{what} must be a list")
        return []

    def text(self, default: str = "") -> str:
        """The value as text."""
        if isinstance(self.value, str):
            return self.value
        self.wrong("must be text")
        return default

    def flag(self, *, default: bool = False) -> bool:
        """The value as a boolean."""
        if isinstance(self.value, bool):
            return self.value
        self.wrong("must be true or false")
        return default

    def integer(self, minimum: int) -> int | None:
        """The value as an integer of at least `minimum`."""
        if type(self.value) is int and self.value >= minimum:
            return self.value
        self.wrong(f"must be an integer of at least {minimum}")
        return None

    def share(self) -> float | None:
        """The value as a number from 0 to 1."""
        if type(self.value) in (int, float) and 0 <= self.value <= 1:  # type: ignore[operator]
            return float(self.value)  # type: ignore[arg-type]
        self.wrong("must be a number from 0 to 1")
        return None

    def pause(self) -> float | None:
        """The value as a number of seconds, none included."""
        if type(self.value) in (int, float) and self.value == 0:
            return 0.0
        return self.number()

    def number(self, *, above: float = 0.0) -> float | None:
        """The value as a number above a bound."""
        if type(self.value) in (int, float) and self.value > above:  # type: ignore[operator]
            return float(self.value)  # type: ignore[arg-type]
        self.wrong(f"must be a number above {above:g}")
        return None

    def texts(self, what: str) -> tuple[str, ...]:
        """The value as a list of texts."""
        return tuple(entry.text() for entry in self.elements(what))

    def word(self, known: Collection[str], what: str) -> str | None:
        """The value as one of a closed set of words."""
        if isinstance(self.value, str) and self.value in known:
            return self.value
        hint = did_you_mean(str(self.value), known)
        self.wrong(f"{what} must be one of {', '.join(known)}", "" if hint.startswith("known") else hint)
        return None
