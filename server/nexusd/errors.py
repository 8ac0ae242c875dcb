"""Every error of nexusd: one tree, no transport in it.

    NexusError                      code, detail, faults, node, execution_id
    ├ RequestError                  a caller's fault in the envelope (head, framing, route, media type)
    │   BadRequest MalformedBody RouteNotFound MethodNotAllowed RequestTimeout MisdirectedRequest
    │   UnsupportedMediaType PayloadTooLarge HeadersTooLarge Unauthenticated Forbidden RateLimited
    ├ ExecutionError                a run that could not be started or did not finish
    │ ├ InvalidInput NotSupported IdempotencyMismatch IdempotencyInFlight
    │ │ └ UnfitInput
    │ ├ WorkflowNotFound ExecutionNotFound RecordNotFound VersionMismatch MaxAffectedExceeded
    │ ├ NodeFailed DeadlineExceeded Cancelled Overloaded
    │ │ └ ToolError
    │ ├ InputRequired
    │ │ └ QuestionsPending
    │ └ DatabaseError               UniqueViolation ReferenceViolation CheckViolation ValueRefused
    │   │                           RecordForbidden SerializationConflict UnknownOutcome
    │   └ DatabaseUnavailable       ConnectionLost WriteRefused
    ├ InternalError                 a bug: the text is logged, never answered
    └ StartupError                  exit_code; never reaches a door
      ├ ConfigurationError          problems (exit 78)
      ├ PortUnavailable             exit 69
      └ ddl.DDLError                lives in nexusd.ddl.errors, exit codes 1 to 10

The doors translate `Code` by one table each (`channels/*/`); a test holds every table to the whole of `Code`.
The first line of a class's docstring is its default message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class Code(StrEnum):
    """What a caller can tell one failure from another by; part of what clients rely on."""

    BAD_REQUEST = "bad_request"
    MALFORMED_BODY = "malformed_body"
    ROUTE_NOT_FOUND = "route_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    MISDIRECTED_REQUEST = "misdirected_request"
    NOT_SUPPORTED = "not_supported"
    INVALID_INPUT = "invalid_input"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    IDEMPOTENCY_IN_FLIGHT = "idempotency_in_flight"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    WORKFLOW_NOT_FOUND = "workflow_not_found"
    EXECUTION_NOT_FOUND = "execution_not_found"
    RECORD_NOT_FOUND = "record_not_found"
    UNIQUE_VIOLATION = "unique_violation"
    REFERENCE_VIOLATION = "reference_violation"
    CHECK_VIOLATION = "check_violation"
    VERSION_MISMATCH = "version_mismatch"
    MAX_AFFECTED_EXCEEDED = "max_affected_exceeded"
    RATE_LIMITED = "rate_limited"
    NODE_FAILED = "node_failed"
    OVERLOADED = "overloaded"
    DATABASE_UNAVAILABLE = "database_unavailable"
    UNKNOWN_OUTCOME = "unknown_outcome"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the request, such as `/inputs/email`.
        code: what is wrong: `required`, `unknown`, `type`, `too_long`, `too_short`, `out_of_range`,
            `pattern`, `format`, `not_allowed`, or a `Code` when the database refused the value.
        detail: one sentence that never repeats the value.
    """

    pointer: str
    code: str
    detail: str


class NexusError(Exception):
    """Something went wrong."""

    code: ClassVar[Code] = Code.INTERNAL

    def __init__(self, detail: str = "", *, faults: Sequence[Fault] = ()) -> None:
        self.detail = detail or (type(self).__doc__ or "").partition("\n")[0]
        self.faults: tuple[Fault, ...] = tuple(faults)
        self.node: str | None = None
        self.execution_id: str | None = None
        super().__init__(self.detail)


class InternalError(NexusError):
    """An unexpected error; the log has it under this request id.

    Attributes:
        reason: what is known of it, for the log alone.
        is_logged: the log has it.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__()
        self.reason = reason
        self.is_logged = False


# Envelope


class RequestError(NexusError):
    """The request cannot be served as it was sent."""

    code = Code.BAD_REQUEST


class BadRequest(RequestError):
    """The request's head or framing is not valid HTTP."""


class MalformedBody(RequestError):
    """The body is not a JSON object of the expected form."""

    code = Code.MALFORMED_BODY


class RouteNotFound(RequestError):
    """There is nothing at this path."""

    code = Code.ROUTE_NOT_FOUND


class MethodNotAllowed(RequestError):
    """This path does not take this method."""

    code = Code.METHOD_NOT_ALLOWED

    def __init__(self, detail: str = "", *, allow: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.allow = tuple(allow)


class RequestTimeout(RequestError):
    """The request was not received in time."""

    code = Code.REQUEST_TIMEOUT


class MisdirectedRequest(RequestError):
    """This server does not answer for the Host that was asked."""

    code = Code.MISDIRECTED_REQUEST


class UnsupportedMediaType(RequestError):
    """Send the body as application/json."""

    code = Code.UNSUPPORTED_MEDIA_TYPE


class PayloadTooLarge(RequestError):
    """The body is larger than this route takes."""

    code = Code.PAYLOAD_TOO_LARGE


class HeadersTooLarge(RequestError):
    """The request head is larger than this server takes."""

    code = Code.HEADERS_TOO_LARGE


class Unauthenticated(RequestError):
    """Credentials are missing or not valid."""

    code = Code.UNAUTHENTICATED

    def __init__(self, detail: str = "", *, reason: str = "missing") -> None:
        super().__init__(detail)
        self.reason = reason
        """For logs and metrics: missing, malformed, several, unknown, expired, revoked, signature, audience, …"""


class Forbidden(RequestError):
    """The credentials do not allow this."""

    code = Code.FORBIDDEN

    def __init__(self, detail: str = "", *, scopes: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.scopes = tuple(scopes)
        """All that is needed, as the caller would have to ask for it."""


class RateLimited(RequestError):
    """Too many requests; try again later."""

    code = Code.RATE_LIMITED

    def __init__(self, detail: str = "", *, retry_after_s: float = 1.0, policy: str = "") -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.policy = policy
        """Which limit it was."""


# Runs


class ExecutionError(NexusError):
    """The workflow did not complete."""


class InvalidInput(ExecutionError):
    """The inputs are not valid."""

    code = Code.INVALID_INPUT


class UnfitInput(InvalidInput):
    """An input does not fit where the workflow reads it.

    The pointers of its faults are those of inputs; one that begins with `*` is of the item of a foreach.
    """


class NotSupported(ExecutionError):
    """This workflow or engine does not support that."""

    code = Code.NOT_SUPPORTED


class IdempotencyMismatch(ExecutionError):
    """This Idempotency-Key was used with other inputs."""

    code = Code.IDEMPOTENCY_MISMATCH


class IdempotencyInFlight(ExecutionError):
    """A request with this Idempotency-Key is still running."""

    code = Code.IDEMPOTENCY_IN_FLIGHT


class WorkflowNotFound(ExecutionError):
    """There is no workflow of that name."""

    code = Code.WORKFLOW_NOT_FOUND


class ExecutionNotFound(ExecutionError):
    """There is no execution of that id."""

    code = Code.EXECUTION_NOT_FOUND


class RecordNotFound(ExecutionError):
    """No record matches."""

    code = Code.RECORD_NOT_FOUND


class VersionMismatch(ExecutionError):
    """The record has changed since the version that was given."""

    code = Code.VERSION_MISMATCH


class MaxAffectedExceeded(ExecutionError):
    """More records match than max_affected allows; nothing was changed."""

    code = Code.MAX_AFFECTED_EXCEEDED


class NodeFailed(ExecutionError):
    """A node of the workflow failed."""

    code = Code.NODE_FAILED


class ToolError(NodeFailed):
    """A function refused its task; raised by the function itself, its text is told to the caller."""


class InputRequired(ExecutionError):
    """The workflow asks its caller something that this call cannot answer; nothing was kept."""

    code = Code.NOT_SUPPORTED


class QuestionsPending(InputRequired):
    """The caller has the questions now, and calls again with the answers; nothing was kept."""


class DeadlineExceeded(ExecutionError):
    """The deadline passed; nothing was kept."""

    code = Code.TIMEOUT


class Cancelled(ExecutionError):
    """The execution was cancelled; nothing was kept."""

    code = Code.CANCELLED


class Overloaded(ExecutionError):
    """The server is at its limit; try again later."""

    code = Code.OVERLOADED


# Database


class DatabaseError(ExecutionError):
    """The database refused the statement."""

    def __init__(
        self,
        detail: str = "",
        *,
        constraint: str | None = None,
        fields: Sequence[str] = (),
        faults: Sequence[Fault] = (),
    ) -> None:
        super().__init__(detail, faults=faults)
        self.constraint = constraint
        self.fields = tuple(fields)
        """The model's fields that the constraint covers, in its order; empty when not known."""


class UniqueViolation(DatabaseError):
    """A record with these unique values exists already."""

    code = Code.UNIQUE_VIOLATION


class ReferenceViolation(DatabaseError):
    """A record that is referred to does not exist, or is still referred to."""

    code = Code.REFERENCE_VIOLATION


class CheckViolation(DatabaseError):
    """A check of the model refused the values."""

    code = Code.CHECK_VIOLATION


class RecordForbidden(DatabaseError):
    """The record would not be one that the caller may have."""

    code = Code.FORBIDDEN


class ValueRefused(DatabaseError):
    """The database refused a value: null, out of range, or not of the column's form."""

    code = Code.INVALID_INPUT


class SerializationConflict(DatabaseError):
    """Other transactions changed the same records at the same time; nothing was kept, try again."""

    code = Code.OVERLOADED


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached; nothing was changed."""

    code = Code.DATABASE_UNAVAILABLE


class ConnectionLost(DatabaseUnavailable):
    """The connection to the database was lost before anything was kept."""


class WriteRefused(DatabaseUnavailable):
    """The database takes no writes here; nothing was changed."""


class UnknownOutcome(DatabaseError):
    """The connection was lost after the write was sent; whether it was kept is not known."""

    code = Code.UNKNOWN_OUTCOME


# Start


class StartupError(NexusError):
    """The server cannot start."""

    exit_code: int = 70


class PortUnavailable(StartupError):
    """A port cannot be bound."""

    exit_code = 69


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration or registry file.

    Attributes:
        message: what is wrong, one sentence.
        hint: what to do, or empty.
        file: path as the operator wrote it; empty when the definition came from Python.
        line: 1-based; 0 when not known.
        column: 1-based; 0 when not known.
        source_line: the text of that line, without its line ending.
        length: how many characters the caret line marks.
    """

    message: str
    hint: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    source_line: str = field(default="", repr=False)
    length: int = 1

    def render(self) -> str:
        """`file:line:col: message`, then the line, a caret under the place, and the hint."""
        head = f"{self.file}:{self.line}:{self.column}: {self.message}" if self.file else self.message
        lines = [head]
        if self.source_line:
            # Tabs are kept so that the caret stands under the same column.
            margin = "".join("\t" if c == "\t" else " " for c in self.source_line[: self.column - 1])
            lines += [f"  {self.source_line}", f"  {margin}{'^' * max(1, self.length)}"]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class ConfigurationError(StartupError):
    """The configuration or the registry has mistakes; nothing was started."""

    exit_code = 78

    def __init__(self, problems: Sequence[Problem], detail: str = "") -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column)))
        super().__init__(detail or "\n".join(p.render() for p in self.problems))
