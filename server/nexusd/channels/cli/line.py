"""The words of `nexusd run`, read twice: for what says which workflow it is, then by what that workflow takes.

Which options take a value is only known once the workflow is. Until then a word is never taken for `--server` or one of
its kind where it might be the value of another option, so that a value that looks like an option cannot become one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nexusd.channels.cli.options import Option

_NUMBER: Final = re.compile(r"-\.?[0-9]")
END: Final = "--"


class LineError(Exception):
    """The words cannot be told apart; the message says how to write them."""


@dataclass(slots=True)
class Line:
    """What is known before the workflow is.

    Attributes:
        workflow: its name; None when no word stands there.
        words: all others, in their order.
        given: the values of the options that every workflow has, by flag.
        asks_help: `--help` stood before the name.
    """

    workflow: str | None = None
    words: list[str] = field(default_factory=list)
    given: dict[str, list[str]] = field(default_factory=dict)
    asks_help: bool = False


def read_line(words: Sequence[str], fixed: Mapping[str, Option], early: Collection[str]) -> Line:
    """Find the workflow's name and the options that say where it is.

    Args:
        words: everything behind `run`.
        fixed: options that every workflow has, by flag.
        early: those among them that say where the workflow is, and so must be known first.

    Raises:
        LineError: an unknown option before the name, or a word that may be one thing or another.
    """
    line = Line()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == END:
            line.words += [word, *rest]
            break
        if not is_option(word):
            if line.workflow is None:
                line.workflow = word
            else:
                line.words.append(word)
            continue
        flag, attached, value = word.partition("=")
        flag = spelled(flag)
        if flag not in fixed:
            _unknown(line, word, rest, early)
            continue
        line.words.append(word)
        if fixed[flag].kind is not bool:
            if not attached and rest:
                value = rest.pop(0)
                line.words.append(value)
            line.given.setdefault(flag, []).append(value)
    return line


def _unknown(line: Line, word: str, rest: list[str], early: Collection[str]) -> None:
    """Pass over an option of the workflow, and over its value if it has one."""
    if line.workflow is None:
        if word == "--help":
            line.asks_help = True
            return
        raise LineError(f"there is no option {word} of run; options of a workflow follow its name")
    line.words.append(word)
    if "=" in word or not rest:
        return
    if not is_option(rest[0]):
        line.words.append(rest.pop(0))
    elif spelled(rest[0].partition("=")[0]) in early:
        raise LineError(
            f"{rest[0]} may be an option or the value of {word}: write {word}=VALUE, or put {rest[0]} before {word}"
        )


def is_option(word: str) -> bool:
    """Whether a word stands for an option; `-` and negative numbers do not."""
    return word.startswith("-") and word != "-" and not _NUMBER.match(word)


def spelled(flag: str) -> str:
    """A flag as it is declared: `--company_id` is `--company-id`."""
    return flag.replace("_", "-")


def spell_out(words: Sequence[str], switches: Collection[str], valued: Collection[str]) -> list[str]:
    """Write every option as it is declared, and every switch with its value.

    `--active` is `--active=true`, `--no-active` is `--active=false`, `--company_id` is `--company-id`.
    """
    known = {*switches, *valued}
    negated = {f"--no-{flag[2:]}": flag for flag in switches if f"--no-{flag[2:]}" not in known}
    out: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == END:
            return [*out, word, *rest]
        flag, attached, value = word.partition("=")
        flag = spelled(flag)
        if flag in negated and not attached:
            out.append(f"{negated[flag]}=false")
        elif flag not in known:
            out.append(word)
        elif attached:
            out.append(f"{flag}={value}")
        elif flag in switches:
            out.append(f"{flag}={rest.pop(0) if rest and not is_option(rest[0]) else 'true'}")
        else:
            out += [flag, *([rest.pop(0)] if rest else [])]
    return out
