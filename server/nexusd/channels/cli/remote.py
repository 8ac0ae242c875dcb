"""`--server URL`: the command line as a client of a running daemon."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from nexusd.channels.cli.problems import RemoteProblem
from nexusd.definitions.wire import read_json
from nexusd.errors import MalformedBody, StartupError, UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 600.0
"""How long an answer may take; the daemon's own limits are shorter unless somebody raised them far."""


class ServerUnreachable(StartupError):
    """The server does not answer."""

    exit_code = 69


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
        connection = self._connect()
        try:
            return self._exchange(connection, "GET", f"/workflows/{quote(name, safe='')}", None, {})
        except (OSError, http.client.HTTPException) as error:
            raise ServerUnreachable(f"{self._shown} did not answer ({_told(error)})") from error
        finally:
            connection.close()

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
        connection = self._connect()
        try:
            document = self._exchange(connection, "POST", path, b'{"inputs":' + inputs + b"}", headers)
        except (OSError, http.client.HTTPException) as error:
            message = f"{self._shown} did not answer ({_told(error)}); whether the workflow ran is not known"
            raise UnknownOutcome(message) from error
        finally:
            connection.close()
        outputs = document.get("outputs")
        if not isinstance(outputs, dict):
            raise ServerUnreachable(f"{self._shown} answers, but not as nexusd does")
        return outputs

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=CONNECT_TIMEOUT_S)
        try:
            connection.connect()
        except OSError as error:
            raise ServerUnreachable(f"{self._shown} cannot be reached ({_told(error)})") from error
        connection.sock.settimeout(ANSWER_TIMEOUT_S)
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Mapping[str, object]:
        connection.request(method, self._path + path, body, {**self._headers, **headers})
        answer = connection.getresponse()
        succeeded = answer.status == http.client.OK
        expected = "application/json" if succeeded else "application/problem+json"
        try:
            document = read_json(answer.read()) if answer.headers.get_content_type() == expected else None
        except MalformedBody:
            document = None
        if not isinstance(document, dict):
            raise ServerUnreachable(f"{self._shown} answers {answer.status}, but not as nexusd does; is the URL right?")
        if not succeeded:
            raise RemoteProblem(document, answer.status)
        return document


def _told(error: BaseException) -> str:
    """What the system says went wrong; a certificate's fault in its own words."""
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error).__name__
