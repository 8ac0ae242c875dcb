"""Lists in pages of 50, by an opaque cursor (docs/reference.md, section 7)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final, TypeVar

import mcp_types as types
from mcp.shared.exceptions import MCPError

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE_SIZE: Final = 50

_Item = TypeVar("_Item")


def page(items: Sequence[_Item], params: types.PaginatedRequestParams | None) -> tuple[list[_Item], str | None]:
    """The page that is asked for, and the cursor of the next one.

    Raises:
        MCPError: the cursor is not one of ours.
    """
    start = 0 if params is None or params.cursor is None else _position(params.cursor)
    end = start + PAGE_SIZE
    return list(items[start:end]), _cursor(end) if end < len(items) else None


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode()


def _position(cursor: str) -> int:
    try:
        position = int(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise MCPError(types.INVALID_PARAMS, "the cursor was not made by this server") from error
    if position < 0:
        raise MCPError(types.INVALID_PARAMS, "the cursor was not made by this server")
    return position
