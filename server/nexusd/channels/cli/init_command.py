"""`nexusd init`: a folder to start from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nexusd.channels.cli.exits import CANNOT_CREATE
from nexusd.channels.cli.options import Argument
from nexusd.channels.cli.output import write
from nexusd.channels.cli.problems import say, say_error
from nexusd.definitions.wire import write_json
from nexusd.settings import SECRETS, all_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.channels.cli.options import Arguments

FOLDER: Final = Argument(metavar="[DIR]", text="Where to write them [default: the working directory]")
_STARTER: Final = ("config/registry.yaml", "tests/contacts.yaml")
_SETTINGS: Final = "config/nexusd.yaml"


def init(arguments: Arguments) -> int:
    """Write a registry, settings and test cases to start from."""
    folder = Path(arguments.word or ".")
    starter = resources.files("nexusd.channels.cli") / "starter"
    files = {name: (starter / name).read_text(encoding="utf-8") for name in _STARTER}
    files[_SETTINGS] = "\n".join(_settings()) + "\n"
    taken = [name for name in files if (folder / name).exists()]
    if taken:
        say_error(f"{', '.join(str(folder / name) for name in taken)}: there already; nothing was written")
        return CANNOT_CREATE
    try:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        say_error(f"{error.filename}: cannot be written: {error.strerror}")
        return CANNOT_CREATE
    for name in files:
        write(str(folder / name))
    say(f"next: {'' if folder == Path() else f'cd {folder} && '}nexusd test && nexusd serve")
    return 0


def _settings() -> Iterator[str]:
    """A settings file that says every setting with its default, and sets none."""
    yield "# Settings. Each stands here with its default; an environment variable such as NEXUSD_HTTP__PORT wins over"
    yield "# this file, and a flag such as --port wins over both."
    section = ""
    for (name, key), default in all_settings().items():
        if name != section:
            section = name
            yield ""
            yield f"# {section}:"
        remark = (
            "  # better from the environment, or from the file that NEXUSD_…_FILE names"
            if (name, key) in SECRETS
            else ""
        )
        yield f"#   {key}: {write_json(default).decode()}{remark}"
