"""How a caller stands with a limit of its requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit after a request.

    Attributes:
        policy: `workflow` or `default`: that of the workflow, or that of the caller.
        requests, per_s: what is allowed.
        remaining: how many requests could follow at once.
        reset_s: how long until all of `requests` could.
        retry_after_s: how long until one could; 0 when it can now.
    """

    policy: str
    requests: int
    per_s: float
    remaining: int
    reset_s: float
    retry_after_s: float
