"""Texts whose templates see a flat set of named texts: the messages of prompts and the contents of resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions.template import FILTERS, Template, TemplateSyntaxError, as_text, parse_template
from nexusd.documents import did_you_mean
from nexusd.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nexusd.definitions.entry import Entry
    from nexusd.definitions.template import Expression


def read_text(entry: Entry) -> Template | str:
    """The value as text with templates."""
    try:
        return parse_template(entry.text())
    except TemplateSyntaxError as error:
        entry.wrong(str(error))
        return ""


def check_names(entry: Entry, text: Template | str, known: Collection[str], what: str) -> None:
    """Note every path of the text that is not one of the `known` names."""
    for expression in expressions(text):
        name = expression.path[0]
        if name not in known:
            entry.wrong(f"{{{{ {expression.text} }}}}: there is no {what} {name!r}", did_you_mean(str(name), known))
        elif len(expression.path) > 1:
            entry.wrong(f"{{{{ {expression.text} }}}}: {name!r} is text; nothing lies below it")


def expressions(text: Template | str) -> tuple[Expression, ...]:
    """The expressions in a text."""
    return text.expressions if isinstance(text, Template) else ()


def render_text(text: Template | str, values: Mapping[str, str]) -> str:
    """The text with its values; what is left out and has no default is empty.

    Raises:
        InvalidInput: a filter does not take its value.
    """
    if isinstance(text, str):
        return text
    rendered = [text.pieces[0]]
    for expression, piece in zip(text.expressions, text.pieces[1:], strict=True):
        rendered += (_value(expression, values), piece)
    return "".join(rendered)


def _value(expression: Expression, values: Mapping[str, str]) -> str:
    name = str(expression.path[0])
    value: object = values.get(name)
    for call in expression.filters:
        try:
            if call.name == "default":
                value = call.argument if value is None else value
            elif value is not None:
                value = FILTERS[call.name](value)
        except InvalidInput as error:
            raise InvalidInput(f"{{{{ {expression.text} }}}}: {error.detail}") from error
    return "" if value is None else as_text(value)
