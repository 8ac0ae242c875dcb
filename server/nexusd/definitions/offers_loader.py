"""What the registry offers to MCP clients besides its workflows: toolsets, prompts and resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nexusd.definitions.prompt_loader import read_prompt
from nexusd.definitions.resource import UriError, parse_uri
from nexusd.definitions.resource_loader import read_resource
from nexusd.documents import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from nexusd.definitions.entry import Entry
    from nexusd.definitions.prompt import Prompt
    from nexusd.definitions.registry import RegistryPath
    from nexusd.definitions.resource import Resource

_TOOLSET: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class Offers:
    """Collects them from every file of a registry.

    Args:
        taken: notes that something of this path, name, entry and kind is defined; whether it was already.
        note: remembers where everything of an entry stands.

    Attributes:
        toolsets: names of workflows by toolset.
    """

    def __init__(
        self, taken: Callable[[RegistryPath, str, Entry, str], bool], note: Callable[[RegistryPath, Entry], None]
    ) -> None:
        self._taken = taken
        self._note = note
        self._mentions: list[Entry] = []
        self.toolsets: dict[str, tuple[str, ...]] = {}
        self.prompts: dict[str, Prompt] = {}
        self.resources: dict[str, Resource] = {}

    def read(self, options: Mapping[str, Entry], folder: Path) -> None:
        """Take what one file declares."""
        for name, entry in options["toolsets"].items("toolsets") if "toolsets" in options else ():
            if not self._taken(("toolsets", name), name, entry, "toolset"):
                self._toolset(name, entry)
        for name, entry in options["prompts"].items("prompts") if "prompts" in options else ():
            if not self._taken(("prompts", name), name, entry, "prompt"):
                self.prompts[name] = read_prompt(name, entry, folder)
        for uri, entry in options["resources"].items("resources") if "resources" in options else ():
            if not self._taken(("resources", uri), uri, entry, "resource"):
                self._resource(options["resources"], uri, folder)

    def _toolset(self, name: str, entry: Entry) -> None:
        if not _TOOLSET.fullmatch(name):
            entry.wrong("a toolset's name is letters, digits, _ and -, at most 64")
        members = entry.elements("a toolset")
        if not members and not entry.value:
            entry.wrong(f"the toolset {name} lists no workflows")
        self._mentions += members
        self.toolsets[name] = tuple(member.text() for member in members)

    def _resource(self, parent: Entry, uri: str, folder: Path) -> None:
        entry = parent.child(uri)
        self._note(("resources", uri), entry)
        try:
            template = parse_uri(uri)
        except UriError as error:
            parent.wrong_key(uri, str(error))
            return
        resource = read_resource(template, entry, folder)
        if resource is not None:
            self.resources[uri] = resource
            if resource.workflow is not None:
                self._mentions.append(entry.child("workflow"))

    def check_workflows(self, known: Collection[str]) -> None:
        """Note every workflow that is named but not there, once all are known."""
        for entry in self._mentions:
            if isinstance(entry.value, str) and entry.value not in known:
                entry.wrong(f"there is no workflow {entry.value!r}", did_you_mean(entry.value, known))
