"""Options as data: one description makes the command's option, its help, and the setting that it overrides."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn, TypeAlias

import typer

from nexusd.configuration import load_settings

if TYPE_CHECKING:
    from nexusd.settings import Setting, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a command.

    Attributes:
        flag: such as `--mcp-port`.
        text: its help.
        kind: `str`, `int`, `bool` (a switch, without a value) or `list` (may be given several times).
        setting: what it overrides.
        sets: the value that a switch gives to its setting.
        choices: the words it takes.
        suggest: values for the shell's completion.
    """

    flag: str
    text: str
    kind: type = str
    metavar: str | None = None
    setting: Setting | None = None
    sets: object = True
    choices: tuple[str, ...] = ()
    suggest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """The word that a command takes besides options."""

    metavar: str
    text: str
    required: bool = False


@dataclass(slots=True)
class Session:
    """One run of the command line.

    Attributes:
        given: options that stood before the command, by flag.
        debug: whether the settings ask for tracebacks.
    """

    given: dict[str, object] = field(default_factory=dict)
    debug: bool = False


GLOBAL: Final = (
    Option(flag="--config", text="Settings file [default: config/nexusd.yaml]", metavar="FILE"),
    Option(flag="--registry", text="Registry file", metavar="FILE", setting=("registry", "path")),
    Option(flag="--database-url", text="sqlite:///FILE or postgresql://…", metavar="URL", setting=("database", "url")),
    Option(flag="--set", text="Any setting, as section.key=value", kind=list, metavar="KEY=VALUE"),
)
"""Options of every command that reads settings; they may stand before the command too."""

PIPE_CLOSED: Final = 141
"""128 and the number of SIGPIPE, as shells count."""

_WORD: Final = "word"
"""The parameter that a command's argument arrives in."""

OUTPUT: Final = Option(
    flag="--output", text="json or table [default: table on a terminal, else json]", choices=("json", "table")
)


class Arguments:
    """What one command was given.

    Attributes:
        session: the run of the command line that it is part of.
        word: its argument; None when left out.
        rest: words that were not read, for a command that reads them itself.
    """

    def __init__(self, options: Sequence[Option], values: Mapping[str, object], context: typer.Context) -> None:
        self.session: Session = context.obj
        self.rest = list(context.args)
        word = values.get(_WORD)
        self.word = word if isinstance(word, str) else None
        self._context = context
        self._options = {option.flag: option for option in (*GLOBAL, *options)}
        before = self.session.given
        self._values = {**before, **{flag: value for flag, value in values.items() if value not in (None, [])}}
        self._values["--set"] = [*_texts(before.get("--set")), *_texts(values.get("--set"))]

    @property
    def verb_follows(self) -> bool:
        """Whether this is a group, and one of its commands is next."""
        return self._context.invoked_subcommand is not None

    def replaced(self, options: Sequence[Option], values: Mapping[str, object]) -> Arguments:
        """The same command as if it had been given these options."""
        return Arguments(options, values, self._context)

    def fail(self, message: str) -> NoReturn:
        """End with exit code 2 and how the command is used."""
        self._context.fail(message)

    def text(self, flag: str) -> str | None:
        """An option's value, or None."""
        value = self._values.get(flag)
        return value if isinstance(value, str) else None

    def on(self, flag: str) -> bool:
        """Whether a switch was given."""
        return self._values.get(flag) is True

    def texts(self, flag: str) -> list[str]:
        """The values of an option that may be given several times."""
        return _texts(self._values.get(flag))

    def given(self) -> dict[str, object]:
        """Every option that was given, by flag."""
        return {flag: value for flag, value in self._values.items() if value not in (None, False, [])}

    def settings(self) -> Settings:
        """The settings with these options in front; `--set` wins over an option of the same setting.

        Raises:
            ConfigurationError: with every mistake in them.
            typer.BadParameter: `--set` without a key and a value.
        """
        overrides: dict[Setting, object] = {}
        names: dict[Setting, str] = {}
        for flag, value in self.given().items():
            option = self._options.get(flag)
            if option is not None and option.setting is not None:
                overrides[option.setting] = option.sets if option.kind is bool else value
                names[option.setting] = flag
        for assignment in self.texts("--set"):
            name, equals, value = assignment.partition("=")
            section, dot, key = name.strip().partition(".")
            if not equals or not dot:
                raise typer.BadParameter(f"{assignment!r} is not section.key=value", param_hint="--set")
            overrides[section, key] = value
            names[section, key] = f"--set {name.strip()}"
        settings = load_settings(self.text("--config"), os.environ, overrides, names=names)
        self.session.debug = settings.server.log_level == "debug"
        return settings


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


Action: TypeAlias = Callable[[Arguments], int]


def command(action: Action, options: Sequence[Option], argument: Argument | None = None) -> Callable[..., None]:
    """What typer registers for an action: a function whose signature says its options."""
    by_name = {f"option_{i}": option for i, option in enumerate(options)}

    def act(context: typer.Context, **values: object) -> None:
        given = {option.flag: values[name] for name, option in by_name.items()}
        exit_code = _quietly(action, Arguments(options, {**given, _WORD: values.get(_WORD)}, context))
        if exit_code:
            raise typer.Exit(exit_code)

    annotations: dict[str, Any] = {"context": typer.Context}
    if argument is not None:
        kind: Any = str if argument.required else str | None
        annotations[_WORD] = Annotated[kind, typer.Argument(metavar=argument.metavar, help=argument.text)]
    annotations |= {name: _annotation(option) for name, option in by_name.items()}
    needed = {"context"} | ({_WORD} if argument is not None and argument.required else set())
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if name in needed else _unset(by_name.get(name)),
            annotation=annotation,
        )
        for name, annotation in annotations.items()
    ]
    act.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    act.__annotations__ = annotations
    act.__doc__ = action.__doc__
    return act


def _quietly(action: Action, arguments: Arguments) -> int:
    """Run an action; that whoever reads the output has left is an exit code, not an error."""
    try:
        return action(arguments)
    except BrokenPipeError:
        # What is still buffered would fail again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def invoke(program: typer.Typer, words: Sequence[str], shown: str, session: Session) -> int:
    """Run a program with these words; the exit code. Typer tells wrong use itself."""
    try:
        program(list(words), prog_name=shown, obj=session)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _unset(option: Option | None) -> object:
    return False if option is not None and option.kind is bool else None


def _annotation(option: Option) -> Any:  # noqa: ANN401 - an annotation may be anything
    """The annotation that typer reads."""
    kind: Any = Literal[option.choices] if option.choices else list[str] if option.kind is list else option.kind
    information = typer.Option(
        option.flag,
        help=option.text,
        metavar=None if option.kind is bool else option.metavar,
        autocompletion=_suggesting(option.suggest) if option.suggest else None,
    )
    return Annotated[kind if option.kind is bool else kind | None, information]


def _suggesting(words: Sequence[str]) -> Callable[[str], list[str]]:
    def suggest(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return suggest
