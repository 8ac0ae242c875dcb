"""How a caller stands with a limit of its requests."""

from __future__ import annotations

from typing import NamedTuple


class Standing(NamedTuple):
    """One limit after a request.

    Attributes:
        policy: `workflow` or `default`: that of the workflow, or that of the caller.
        requests, per_s: what is allowed.
        remaining: how many requests could follow at once.
        reset_s: how long until all of `requests` could.
    """

    policy: str
    requests: int
    per_s: float
    remaining: int
    reset_s: float
