"""Wrong use of the Python API: told at the call, with what to do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.documents import did_you_mean
from nexusd.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_REMOVED: Final[Mapping[str, str]] = {
    "enable_model_persistence": "leave it out: models live in the code, no copy of them is kept in the database",
    "skip_migration": "say auto_migrate=False",
    "existing_schema_mode": "say auto_migrate=False to leave the tables alone, or 'verify' to be told of differences",
}
"""Arguments of DataFlow elsewhere that have another form here."""


class UsageError(StartupError):
    """The Python API was used in a way that cannot work."""

    exit_code = 78


class UnknownArgument(UsageError, TypeError):
    """A call has an argument that there is not."""


def refuse_unknown(what: str, given: Mapping[str, object], known: Collection[str]) -> None:
    """Refuse keyword arguments that `what` does not have.

    Raises:
        UnknownArgument: `given` is not empty; the message tells every one of them.
    """
    faults = []
    for name in given:
        if name in _REMOVED:
            faults.append(f"{name} is not an argument of {what}; {_REMOVED[name]}")
        else:
            hint = did_you_mean(name, known)
            faults.append(f"{what} has no argument {name!r}{'; ' + hint if hint else ''}")
    if faults:
        raise UnknownArgument("\n".join(faults))
