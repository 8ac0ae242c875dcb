"""HttpRequestNode: a request to a host that the registry lists (docs/reference.md, section 8)."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

import msgspec

from nexusd import __version__
from nexusd.definitions.shape import ANYTHING, MapOf, OrNull, Record
from nexusd.definitions.wire import read_json, write_json
from nexusd.errors import Fault, InvalidInput, MalformedBody, NodeFailed
from nexusd.nodes.binding import Binder, Param, Purpose, is_placeholder, slot
from nexusd.nodes.http_client import TOKEN, VALUE, Request
from nexusd.nodes.http_url import UrlProblem, read_url
from nexusd.nodes.node import Effects, ParamProblem
from nexusd.nodes.shapes import integer, one_of, text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nexusd.definitions.http_hosts import AllowList
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.workflow import Node
    from nexusd.nodes.http_client import Answer, Client
    from nexusd.nodes.http_url import Url
    from nexusd.nodes.node import Binding, Choice, FirstOf, NodeContext, Placeholder, Runner

SAFE: Final = ("GET", "HEAD", "OPTIONS")
METHODS: Final = (*SAFE, "POST", "PUT", "PATCH", "DELETE")
_BODILESS: Final = ("GET", "HEAD")
MAX_REDIRECTS: Final = 5

_ASKS: Final = Effects(outside=True, idempotent=True)
_CHANGES: Final = Effects(outside=True, writes=True, destructive=True, rehearsable=False)

_PARAMS: Final[Mapping[str, Param]] = {
    "method": Param(one_of("method", *METHODS)),
    "url": Param(text("url", "Where to, without the query."), Purpose.NEED, required=True),
    "query": Param(MapOf(ANYTHING)),
    "headers": Param(MapOf(text("header"))),
    "json": Param(ANYTHING, Purpose.OPTION),
    "text": Param(text("text")),
}
_ANSWER: Final = Record(
    {
        "status": integer("status", 100, 599),
        "headers": MapOf(text("header", "Names in lower case.")),
        "json": ANYTHING,
        "text": OrNull(text("text")),
    },
    frozenset({"status", "headers", "json", "text"}),
)
_OWN_HEADERS: Final = frozenset(
    {
        "host", "connection", "content-length", "transfer-encoding", "accept-encoding", "upgrade", "te", "trailer",
        "expect", "keep-alive", "proxy-authorization", "proxy-connection",
    }
)  # fmt: skip
"""Headers that say how the connection is used, which is not the operator's to say."""

_CHARSETS: Final = frozenset({"utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"})
"""Those that are decoded; Python knows others of which some take very long."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_FAILED: Final = 400
_LEAST_STATUS: Final = 100
_MOST_STATUS: Final = 599


class HttpRequestNode:
    """Sends one request and gives the answer."""

    name = "HttpRequestNode"
    keys = frozenset({"allow_status"})

    def __init__(self, client: Client, allow: AllowList, secrets: Mapping[str, str]) -> None:
        self._client = client
        self._allow = allow
        self._secrets = secrets

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, node: Node) -> Effects:
        """Nothing but a look outside if the method is sure to be one that changes nothing."""
        return _ASKS if node.params.get("method", "GET") in SAFE else _CHANGES

    def bind(self, node: Node, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
        """Every host that is known beforehand must be listed."""
        binder = Binder()
        declared = _without_headers(params, _secret_headers(params))
        for name in (*declared, *sorted(connected - {"input"})):
            param = _PARAMS.get(name)
            if param is None:
                binder.unknown("param", (name,), _PARAMS)
            elif name in declared:
                binder.bind(param.shape, declared[name], (name,), param.purpose, param.inside)
            else:
                binder.binding.slots[name,] = slot(param.shape, param.purpose)
        if "method" in connected:
            binder.problem(("method",), "the method is declared, not connected", "what a dry run may do depends on it")
        if "url" not in {*params, *connected}:
            binder.problem((), "the param 'url' is missing")
        elif self._allow.is_empty and _known_url(params.get("url")) is None:
            place = ("url",) if "url" in params else ()
            binder.problem(place, "http_allow lists no host", "list those that it may ask")
        self._check_url(binder, params.get("url"))
        self._check_body(binder, params, connected)
        headers = params.get("headers")
        for header in headers if isinstance(headers, dict) else ():
            if not TOKEN.fullmatch(header) or header.lower() in _OWN_HEADERS:
                binder.problem(("headers", header), f"{header} is no header that a node can set")
        self._check_secrets(binder, params)
        binder.binding.problems += _status_problems(node)
        return binder.binding

    def result(self, _node: Node) -> Shape:
        """The answer."""
        return _ANSWER

    def build(self, node: Node) -> Runner:
        """Ask."""
        allowed = node.options.get("allow_status")
        expected = frozenset(allowed) if isinstance(allowed, list) else frozenset()
        named = _secret_headers(node.params)
        secret = {
            name.lower(): f"{each.get('prefix', '')}{self._secrets[str(each['secret'])]}"
            for name, each in named.items()
        }

        async def run(params: Mapping[str, object], context: NodeContext) -> object:
            # Only what the node itself declares names a secret; in a header out of an input it would be no text.
            request = _request(_without_headers(params, named), f"{context.execution_id}/{context.place}")
            request = replace(request, headers={**request.headers, **secret})
            self._check_host(request.url)
            answer = await self._ask(request, expected)
            if answer.status >= _FAILED and answer.status not in expected:
                raise NodeFailed(f"{request.url.authority} answered {answer.status}")
            return _result(answer)

        return run

    async def _ask(self, request: Request, expected: frozenset[object]) -> Answer:
        """Ask, and where a safe request is sent elsewhere on the same host, there."""
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._client.ask(request)
            location = answer.headers.get("location")
            leads_on = answer.status in _REDIRECTS and location is not None and answer.status not in expected
            if not leads_on or request.method not in SAFE:
                return answer
            request = replace(request, url=_followed(request.url, str(location)))
        raise NodeFailed(f"{request.url.authority} redirects more than {MAX_REDIRECTS} times")

    def _check_url(self, binder: Binder, declared: object) -> None:
        """A URL whose host is known beforehand leads to one that is listed."""
        known = _known_url(declared)
        if known is None:
            return
        try:
            url = read_url(known)
        except UrlProblem as problem:
            binder.problem(("url",), str(problem))
            return
        if not self._allow.allows_host(url.host, url.port):
            binder.problem(("url",), f"the host {url.authority} is not in http_allow", "list it there")

    def _check_secrets(self, binder: Binder, params: Mapping[str, object]) -> None:
        named = _secret_headers(params)
        for header, each in named.items():
            name = each.get("secret")
            unknown = sorted(set(each) - {"secret", "prefix"})
            if not isinstance(name, str) or unknown or not isinstance(each.get("prefix", ""), str):
                binder.problem(("headers", header), "a header is text, or {secret: NAME, prefix: text}")
            elif name not in self._secrets:
                hint = "set it in registry.secrets, or NEXUSD_REGISTRY__SECRETS"
                binder.problem(("headers", header), f"there is no secret named {name!r}", hint)
            elif not VALUE.fullmatch(f"{each.get('prefix', '')}{self._secrets[name]}"):
                binder.problem(("headers", header), f"the secret {name!r} is not one line of text")
        if named and _known_url(params.get("url")) is None:
            binder.problem(("url",), "a secret goes to one host: let the URL begin with it")

    @staticmethod
    def _check_body(binder: Binder, params: Mapping[str, object], connected: frozenset[str]) -> None:
        given = {*params, *connected} & {"json", "text"}
        if len(given) > 1:
            binder.problem(("text",) if "text" in params else (), "json and text are both given", "give one of them")
        if given and params.get("method", "GET") in _BODILESS:
            binder.problem((min(given),), "a GET or HEAD request has no body", "say the method")

    def _check_host(self, url: Url) -> None:
        if not self._allow.allows_host(url.host, url.port):
            detail = "must lead to a host that is allowed"
            raise InvalidInput(f"url {detail}", faults=[Fault("/url", "not_allowed", detail)])


def _known_url(declared: object) -> str | None:
    """As much of a URL as is known beforehand, if that is enough to know the host."""
    if isinstance(declared, str):
        return declared
    if declared is None or not is_placeholder(declared):
        return None
    # What is put in behind the host's end cannot change it.
    literal = cast("Placeholder", declared).pieces[0]
    _, _, rest = literal.partition("://")
    return literal if any(sign in rest for sign in "/?#") else None


def _secret_headers(params: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """The headers that name a secret."""
    headers = params.get("headers")
    return {name: each for name, each in headers.items() if isinstance(each, dict)} if isinstance(headers, dict) else {}


def _without_headers(params: Mapping[str, object], names: Collection[str]) -> Mapping[str, object]:
    headers = params.get("headers")
    if not names or not isinstance(headers, dict):
        return params
    return {**params, "headers": {name: each for name, each in headers.items() if name not in names}}


def _status_problems(node: Node) -> list[ParamProblem]:
    declared = node.options.get("allow_status", [])
    if isinstance(declared, list) and all(
        type(each) is int and _LEAST_STATUS <= each <= _MOST_STATUS for each in declared
    ):
        return []
    return [ParamProblem(("allow_status",), "allow_status is a list of HTTP statuses, such as [404]")]


def _request(params: Mapping[str, object], key: str) -> Request:
    """The request of rendered params.

    Raises:
        InvalidInput: with every fault, pointers into the params.
    """
    faults = [
        fault
        for name, value in params.items()
        if value is not None
        for fault in _PARAMS[name].shape.check(value, f"/{name}")
    ]
    given = {name: value for name, value in params.items() if value is not None or name == "json"}
    method = str(given.get("method", "GET"))
    headers = _headers(given.get("headers"), faults)
    body = b""
    if "json" in given or "text" in given:
        if method in _BODILESS or ("json" in given and "text" in given):
            faults.append(Fault("/method", "not_allowed", "this request has one body at most, and GET and HEAD none"))
        kind, body = _body(given)
        headers.setdefault("content-type", kind)
    url = _url(given, faults)
    if faults or url is None:
        raise InvalidInput("; ".join(f"{each.pointer[1:]} {each.detail}" for each in faults), faults=faults)
    if method not in SAFE:
        headers.setdefault("idempotency-key", key)
    return Request(method, url, headers, body)


def _url(given: Mapping[str, object], faults: list[Fault]) -> Url | None:
    query = _query(given.get("query"), faults)
    try:
        return read_url(str(given.get("url"))).with_query(query)
    except UrlProblem as problem:
        faults.append(Fault("/url", "format", str(problem)))
    return None


def _headers(value: object, faults: list[Fault]) -> dict[str, str]:
    headers = {"user-agent": f"nexusd/{__version__}", "accept": "*/*"}
    for name, content in value.items() if isinstance(value, dict) else ():
        if not TOKEN.fullmatch(name) or name.lower() in _OWN_HEADERS:
            faults.append(Fault("/headers", "not_allowed", "has a header that cannot be set"))
        elif not isinstance(content, str) or not VALUE.fullmatch(content):
            faults.append(Fault(f"/headers/{name}", "format", "must be a line of text"))
        else:
            headers[name.lower()] = content
    return headers


def _body(given: Mapping[str, object]) -> tuple[str, bytes]:
    if "json" in given:
        return "application/json", write_json(given["json"])
    return "text/plain; charset=utf-8", str(given["text"]).encode()


def _query(value: object, faults: list[Fault]) -> list[tuple[str, str]]:
    """Pairs; a list gives several of one name, null none."""
    pairs: list[tuple[str, str]] = []
    for name, content in value.items() if isinstance(value, dict) else ():
        for each in content if isinstance(content, list) else [content]:
            if isinstance(each, list | dict):
                faults.append(Fault(f"/query/{name}", "type", "must be a value or a list of values"))
            elif each is not None:
                pairs.append((name, each if isinstance(each, str) else write_json(each).decode()))
    return pairs


def _followed(url: Url, location: str) -> Url:
    """Where a redirect leads, if that is on the same host."""
    try:
        target = url.redirected(location)
    except UrlProblem as error:
        raise NodeFailed(f"{url.authority} redirects to what is no URL") from error
    if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
        raise NodeFailed(f"{url.authority} redirects to another host")
    return target


def _result(answer: Answer) -> dict[str, object]:
    kind, _, parameters = answer.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    content: object = None
    if kind == "application/json" or kind.endswith("+json"):
        # It is passed on as it stands, once it is sure to be JSON.
        with contextlib.suppress(MalformedBody):
            read_json(answer.body)
            content = msgspec.Raw(bytes(answer.body))
    return {
        "status": answer.status,
        "headers": answer.headers,
        "json": content,
        "text": _decoded(answer.body, parameters),
    }


def _decoded(body: bytearray, parameters: str) -> str | None:
    """The body as text; None where it is none."""
    charset = "utf-8"
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    try:
        return body.decode(charset) if charset in _CHARSETS else None
    except UnicodeDecodeError:
        return None
