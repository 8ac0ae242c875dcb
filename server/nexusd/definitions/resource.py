"""A resource of the registry: something to read at a URI (MCP, "Resources")."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from pathlib import Path

    from nexusd.definitions.template import Template

_VARIABLE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}", re.ASCII)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:", re.ASCII)
_UNFIT: Final = re.compile(r"[\s{}<>\"\\^`]")
OWN_SCHEME: Final = "nexusd:"


class UriError(ValueError):
    """A URI or URI template cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class UriTemplate:
    """A URI, or a template of level 1 (RFC 6570, section 1.2): `{name}` stands for one segment, percent-encoded."""

    text: str
    variables: tuple[str, ...]
    _pattern: re.Pattern[str] = field(repr=False)

    def match(self, uri: str) -> dict[str, str] | None:
        """The variables' values in a URI; None where it is another one."""
        found = self._pattern.fullmatch(uri)
        return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


def parse_uri(text: str) -> UriTemplate:
    """A URI or URI template.

    Raises:
        UriError: it is neither.
    """
    if not _SCHEME.match(text):
        raise UriError("a resource's URI begins with a scheme, such as `docs://guide`")
    if text.lower().startswith(OWN_SCHEME):
        raise UriError("URIs that begin with nexusd: are the server's own")
    pieces = _VARIABLE.split(text)
    literals, variables = pieces[::2], tuple(pieces[1::2])
    if any(_UNFIT.search(piece) for piece in literals):
        raise UriError("a URI has no blanks, and braces only as in `docs://{topic}/page`")
    if len(set(variables)) < len(variables):
        raise UriError("a variable stands once in a URI template")
    pattern = re.escape(literals[0])
    for name, literal in zip(variables, literals[1:], strict=True):
        pattern += f"(?P<{name}>[^/?#]+){re.escape(literal)}"
    return UriTemplate(text, variables, re.compile(pattern))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Something to read; one of `text`, `file` and `workflow` says what.

    Attributes:
        mime_type: empty: of what it is.
        text: may name the URI's variables.
        workflow: runs with the URI's variables as its inputs; the outputs are what is read.
    """

    uri: UriTemplate
    name: str
    title: str = ""
    description: str = ""
    mime_type: str = ""
    text: Template | str | None = None
    file: Path | None = None
    workflow: str | None = None
