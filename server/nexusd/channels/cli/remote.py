"""`--server URL`: the command line as a client of a running daemon."""

from __future__ import annotations

import contextlib
import http.client
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import typer

from nexusd.channels.cli.options import Option
from nexusd.channels.cli.problems import RemoteProblem
from nexusd.definitions.wire import read_json
from nexusd.documents import as_mapping
from nexusd.errors import MalformedBody, StartupError, UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.channels.cli.options import Arguments

CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 600.0
"""How long an answer may take; the daemon's own limits are shorter unless somebody raised them far."""


class ServerUnreachable(StartupError):
    """The server does not answer."""

    exit_code = 69


SERVER: Final = (
    Option(flag="--server", text="URL of the server", metavar="URL"),
    Option(flag="--api-key", text="Key for the server [env: NEXUSD_API_KEY]", metavar="KEY"),
)


class Remote:
    """A daemon at a base URL, spoken to directly: no proxy and no redirect, so that the key goes nowhere else.

    Args:
        url: such as `https://crm.example.com/api`.
        api_key: sent as a bearer token; empty: none.

    Raises:
        ValueError: this is no such URL.
    """

    def __init__(self, url: str, api_key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not a URL such as http://127.0.0.1:8000")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._path = parts.path.rstrip("/")
        self._shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self._path}"
        self._headers = {"Accept": "application/json", "Connection": "close"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def workflow(self, name: str) -> Mapping[str, object]:
        """The workflow as the daemon shows it.

        Raises:
            RemoteProblem: the daemon refused.
            ServerUnreachable: it does not answer, or not as nexusd does.
        """
        return self.ask("GET", f"/workflows/{quote(name, safe='')}")

    def execute(self, name: str, inputs: bytes, *, dry_run: bool, idempotency_key: str | None) -> Mapping[str, object]:
        """The outputs of a run on the daemon.

        Raises:
            RemoteProblem: the daemon refused, or the workflow failed.
            ServerUnreachable: it cannot be reached; nothing was sent.
            UnknownOutcome: the connection was lost after the inputs were sent.
        """
        headers = {"Content-Type": "application/json"}
        if dry_run:
            headers["Prefer"] = "tx=rollback"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        path = f"/workflows/{quote(name, safe='')}/execute"
        try:
            with self._sent("POST", path, b'{"inputs":' + inputs + b"}", headers) as answer:
                document = self._read(answer)
        except (OSError, http.client.HTTPException) as error:
            message = f"{self._shown} did not answer ({_told(error)}); whether the workflow ran is not known"
            raise UnknownOutcome(message) from error
        outputs = document.get("outputs")
        if not isinstance(outputs, dict):
            raise self._stranger(http.client.OK)
        return outputs

    def ask(self, method: str, path: str) -> Mapping[str, object]:
        """The answer to a request that may as well be sent twice.

        Raises:
            RemoteProblem: the daemon refused.
            ServerUnreachable: it does not answer, or not as nexusd does.
        """
        try:
            with self._sent(method, path, None, {}) as answer:
                return self._read(answer)
        except (OSError, http.client.HTTPException) as error:
            raise ServerUnreachable(f"{self._shown} did not answer ({_told(error)})") from error

    def events(self, path: str) -> Iterator[tuple[str, Mapping[str, object]]]:
        """The server-sent events at `path` (html.spec.whatwg.org, section 9.2) as they come: name and data of each.

        Raises:
            RemoteProblem: the daemon refused.
            ServerUnreachable: it does not answer, or not as nexusd does.
        """
        try:
            with self._sent("GET", path, None, {"Accept": "text/event-stream"}) as answer:
                if answer.headers.get_content_type() != "text/event-stream":
                    self._read(answer)
                    raise self._stranger(answer.status)
                name = ""
                for line in answer:
                    field, _, value = line.decode().rstrip("\n").partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        yield name, as_mapping(read_json(value))
        except (OSError, http.client.HTTPException) as error:
            raise ServerUnreachable(f"{self._shown} ended the stream ({_told(error)})") from error

    @contextlib.contextmanager
    def _sent(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=CONNECT_TIMEOUT_S)
        with contextlib.closing(connection):
            try:
                connection.connect()
            except OSError as error:
                raise ServerUnreachable(f"{self._shown} cannot be reached ({_told(error)})") from error
            connection.sock.settimeout(ANSWER_TIMEOUT_S)
            connection.request(method, self._path + path, body, {**self._headers, **headers})
            yield connection.getresponse()

    def _read(self, answer: http.client.HTTPResponse) -> Mapping[str, object]:
        succeeded = answer.status in {http.client.OK, http.client.ACCEPTED}
        expected = "application/json" if succeeded else "application/problem+json"
        try:
            document = read_json(answer.read()) if answer.headers.get_content_type() == expected else None
        except MalformedBody:
            document = None
        if not isinstance(document, dict):
            raise self._stranger(answer.status)
        if not succeeded:
            raise RemoteProblem(document, answer.status)
        return document

    def _stranger(self, status: int) -> ServerUnreachable:
        return ServerUnreachable(f"{self._shown} answers {status}, but not as nexusd does; is the URL right?")


def remote_at(url: str, arguments: Arguments) -> Remote:
    """The daemon at a URL, with the key that was given or is in the environment.

    Raises:
        typer.BadParameter: URL or key cannot be one.
    """
    key = arguments.text("--api-key") or os.environ.get("NEXUSD_API_KEY", "")
    if not fits_header(key):
        raise typer.BadParameter("a key is printable ASCII", param_hint="--api-key")
    try:
        return Remote(url, key)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--server") from error


def fits_header(text: str) -> bool:
    """Whether a text can be the value of a header."""
    return text.isascii() and text.isprintable()


def _told(error: BaseException) -> str:
    """What the system says went wrong; a certificate's fault in its own words."""
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error).__name__
