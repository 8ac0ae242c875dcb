"""Trees of params, outputs and lists, with the templates in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions.template import Template, TemplateSyntaxError, parse_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.definitions.registry import RegistryPath
    from nexusd.definitions.shape import Shape
    from nexusd.nodes.node import ParamPath
    from nexusd.planning.control import Report


def parse_tree(value: object, path: RegistryPath, report: Report) -> object:
    """A tree with its templates parsed."""
    if isinstance(value, dict):
        for name in value:
            if "{{" in name and isinstance(_parse(name, path, report), Template):
                report((*path, name), "a template stands in a value, never in a name", "")
        return {name: parse_tree(item, (*path, name), report) for name, item in value.items()}
    if isinstance(value, list):
        return [parse_tree(item, (*path, i), report) for i, item in enumerate(value)]
    return _parse(value, path, report) if isinstance(value, str) else value


def _parse(text: str, path: RegistryPath, report: Report) -> Template | str:
    try:
        return parse_template(text)
    except TemplateSyntaxError as error:
        report(path, f"not a template: {error}", "")
        return ""


def templates(tree: object, path: ParamPath = ()) -> Iterator[tuple[ParamPath, Template]]:
    """Every template of a tree with its place."""
    if isinstance(tree, Template):
        yield path, tree
    elif isinstance(tree, dict):
        for name, item in tree.items():
            yield from templates(item, (*path, name))
    elif isinstance(tree, list):
        for i, item in enumerate(tree):
            yield from templates(item, (*path, i))


def along(shape: Shape, steps: tuple[str | int, ...]) -> Shape | None:
    """What a path leads to; None when it surely leads nowhere."""
    current: Shape | None = shape
    for step in steps:
        if current is None:
            return None
        current = current.at(step)
    return current
