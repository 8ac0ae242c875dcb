"""HttpRequestNode against hosts that answer, and against hosts that mean no good."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nexusd.errors import ConfigurationError, DeadlineExceeded, InvalidInput, NodeFailed, NotSupported
from tests.support.hosts import Asker, answers, repeats

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hosts import OpenHost

HELLO = 'HTTP/1.1 200 OK\nContent-Type: application/json; charset=utf-8\nX-One: 1\nX-One: 2\nContent-Length: 15\n\n{"hello": 1.50}'
EMPTY = "HTTP/1.1 204 No Content\n\n"


async def test_answer_is_status_headers_json_and_text(open_host: OpenHost) -> None:
    host = await open_host(answers(HELLO, hold=True))
    result = await Asker().run(
        {
            "url": f"{host.url}/a b/{{{{id}}}}?x=1",
            "query": {"q": "ä&b", "n": [1, None, True]},
            "headers": {"X-Key": "k"},
        },
        {"id": "é"},
    )
    assert (result["status"], result["json"], result["text"]) == (200, {"hello": 1.5}, '{"hello": 1.50}')
    assert result["headers"]["x-one"] == "1, 2"
    request, *headers = host.heads[0].split("\r\n")
    assert request == "GET /a%20b/%C3%A9?x=1&q=%C3%A4%26b&n=1&n=true HTTP/1.1"
    assert {f"Host: 127.0.0.1:{host.port}", "x-key: k", "Connection: close"} <= set(headers)
    assert "idempotency-key" not in host.heads[0].lower()


async def test_request_that_changes_something_carries_a_key_of_its_own(open_host: OpenHost) -> None:
    host = await open_host(answers("HTTP/1.1 201 Created\nContent-Length: 0\n\n"))
    await Asker().run({"method": "POST", "url": host.url, "json": {"a": "{{a}}", "b": [1]}}, {"a": None})
    await Asker().run({"method": "PUT", "url": host.url, "text": "é", "headers": {"Content-Type": "text/csv"}})
    await Asker().run({"method": "DELETE", "url": host.url})
    assert host.bodies == [b'{"a":null,"b":[1]}', "é".encode(), b""]
    assert ["idempotency-key: run/ask" in head for head in host.heads] == [True, True, True]
    assert ["content-type: application/json" in host.heads[0], "content-type: text/csv" in host.heads[1]] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("method", "answer", "text"),
    [
        ("GET", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n2;x=y\nde\n0\n\n", "abcde"),
        ("GET", "HTTP/1.1 200 OK\n\nuntil the end", "until the end"),
        ("GET", "HTTP/1.0 200 OK\n\nold", "old"),
        ("GET", f"HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: x\n\n{EMPTY}", ""),
        ("GET", EMPTY, ""),
        ("HEAD", "HTTP/1.1 200 OK\nContent-Length: 999999999\n\n", ""),
        ("OPTIONS", EMPTY, ""),
    ],
)
async def test_every_framing_of_an_answer_is_read(open_host: OpenHost, method: str, answer: str, text: str) -> None:
    host = await open_host(answers(answer))
    assert (await Asker().run({"method": method, "url": host.url}))["text"] == text


async def test_body_that_is_no_text_or_no_json_is_null(open_host: OpenHost) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json%s\r\n\r\n"
    binary = await open_host(answers(head % b"" + b"\xff\xfe\x00"))
    deep = await open_host(answers(head % b"" + b"[" * 90_000))
    strange = await open_host(answers(head % b"; charset=punycode" + b'"a"'))
    found = [await Asker().run({"url": host.url}) for host in (binary, deep, strange)]
    assert [(each["json"], each["text"] and len(each["text"])) for each in found] == [
        (None, None),
        (None, 90_000),
        ("a", None),
    ]


async def test_status_of_400_and_more_fails_the_node_unless_it_is_expected(open_host: OpenHost) -> None:
    host = await open_host(answers("HTTP/1.1 404 Not Found\nContent-Length: 6\n\nsecret"))
    with pytest.raises(NodeFailed) as caught:
        await Asker().run({"url": host.url})
    assert caught.value.detail == f"127.0.0.1:{host.port} answered 404"
    assert (await Asker().run({"url": host.url}, allow_status=[404]))["text"] == "secret"


async def test_safe_request_follows_redirects_on_its_host_alone(open_host: OpenHost) -> None:
    def to(location: str) -> str:
        return f"HTTP/1.1 302 Found\nLocation: {location}\nContent-Length: 0\n\n"

    other = await open_host(answers(HELLO))
    host = await open_host(answers(to("/next")))
    asker = Asker()
    with pytest.raises(NodeFailed, match="more than 5 times"):
        await asker.run({"url": host.url})
    assert host.heads[1].startswith("GET /next HTTP/1.1")
    for location in (
        other.url,
        f"http://localhost:{host.port}/",
        f"https://127.0.0.1:{host.port}/",
        "//169.254.169.254/",
    ):
        host.behave = answers(to(location))
        with pytest.raises(NodeFailed, match="redirects to another host"):
            await asker.run({"url": host.url})
    for location in ("file:///etc/passwd", "http://user@127.0.0.1/", "http:\\\\127.0.0.1"):
        host.behave = answers(to(location))
        with pytest.raises(NodeFailed, match="redirects to"):
            await asker.run({"url": host.url})
    assert (await asker.run({"url": host.url}, allow_status=[302]))["status"] == 302
    assert (await asker.run({"method": "POST", "url": host.url}))["status"] == 302
    assert other.heads == []


SPELLINGS = (
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://127.1:{port}/", "http://2130706433:{port}/",
    "http://0177.0.0.1:{port}/", "http://0x7f.0.0.1:{port}/", "http://0x7f000001:{port}/", "http://0:{port}/",
    "http://0.0.0.0:{port}/", "http://[::1]:{port}/", "http://[::]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/", "http://[64:ff9b::7f00:1]/", "http://169.254.169.254/latest/meta-data",
    "http://api.example.com@127.0.0.1:{port}/", "http://127.0.0.1:{port}\\@api.example.com/",
    "http://api.example.com:80@127.0.0.1:{port}/", "http://127.0.0.1:{port}#@api.example.com/",
    "http://api.example.com.evil.example/", "http://api.example.com%2f@127.0.0.1:{port}/", "http://①27.0.0.1:{port}/",
    "http://127。0。0。1:{port}/", "http://api.example.com\r\nHost: x/", "http://api.example.com :{port}/",
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http:127.0.0.1:{port}", "", "http://",
    "http://api.example.com:99999/", "http://api.example.com:{port}x/", "http://[fe80::1%25lo]:{port}/", f"http://{'a' * 300}/",
)  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_host_that_is_not_listed_is_an_invalid_input_and_never_asked(open_host: OpenHost, spelling: str) -> None:
    host = await open_host(answers(HELLO))
    asker = Asker(("api.example.com",), addresses=[["127.0.0.1"]])
    with pytest.raises(InvalidInput) as caught:
        await asker.run({"url": "{{url}}"}, {"url": spelling.replace("{port}", str(host.port))})
    assert [(fault.pointer, fault.code in {"not_allowed", "format"}) for fault in caught.value.faults] == [
        ("/inputs/url", True)
    ]
    assert (host.heads, asker.looked_up) == ([], [])


PRIVATE = (
    "127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.0",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::1", "2001:db8::1", "not an address", "127.0.0.1%lo",
)  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
async def test_listed_name_that_leads_to_a_private_address_is_not_followed(address: str) -> None:
    asker = Asker(("api.example.com",), addresses=[[address]])
    with pytest.raises(NodeFailed, match="not public; list the address"):
        await asker.run({"url": "http://api.example.com/"})


async def test_spelling_of_an_address_that_only_the_system_understands_is_checked_too(open_host: OpenHost) -> None:
    host = await open_host(answers(HELLO))
    for spelling in ("2130706433", "127.1", "0x7f.1", "0177.1"):
        with pytest.raises(NodeFailed):
            await Asker((spelling,)).run({"url": f"http://{spelling}:{host.port}/"})
    assert host.heads == []


async def test_private_address_is_reached_where_it_is_listed_itself(open_host: OpenHost) -> None:
    host = await open_host(answers(HELLO))
    inside = f"http://crm.internal:{host.port}/"
    for allow in (f"127.0.0.1:{host.port}", "127.0.0.1", "127.0.0.0/8"):
        assert (await Asker(("crm.internal", allow), addresses=[["127.0.0.1"]]).run({"url": inside}))["status"] == 200
    for allow in ("127.0.0.1:1", "127.0.0.2", "10.0.0.0/8", "localhost"):
        with pytest.raises(NodeFailed, match="not public"):
            await Asker(("crm.internal", allow), addresses=[["127.0.0.1"]]).run({"url": inside})
    assert (await Asker(("LOCALHOST.",)).run({"url": f"http://localhost:{host.port}/"}))["status"] == 200
    assert (await Asker(("127.0.0.0/8",)).run({"url": host.url}))["status"] == 200


async def test_name_is_looked_up_once_and_the_checked_address_is_asked(open_host: OpenHost) -> None:
    host = await open_host(answers(HELLO))
    asker = Asker(
        ("rebind.example.com", f"127.0.0.1:{host.port}"), addresses=[["169.254.169.254", "127.0.0.1"], ["10.0.0.1"]]
    )
    url = f"http://rebind.example.com:{host.port}/"
    assert (await asker.run({"url": url}))["status"] == 200
    assert asker.looked_up == ["rebind.example.com"]
    assert f"Host: rebind.example.com:{host.port}" in host.heads[0]
    with pytest.raises(NodeFailed, match="not public"):
        await asker.run({"url": url})


OK = b"HTTP/1.1 200 OK\r\n"


HOSTILE = {
    "endless body": (repeats(OK + b"\r\n", b"x" * 4096), "more than 100000 bytes"),
    "endless chunks": (repeats(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), "more than 100000 bytes"),
    "endless chunk head": (
        repeats(OK + b"Transfer-Encoding: chunked\r\n\r\n1", b";xxxx"),
        "HTTP|more than 100000 bytes",
    ),
    "endless headers": (repeats(OK, b"X-Fill: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"), "head of more than"),
    "endless header": (repeats(OK + b"X-Fill: ", b"y" * 4096), "HTTP|head of more than"),
    "endless heads": (repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "HTTP|head of more than"),
    "long": (answers(OK + b"Content-Length: 100001\r\n\r\n", hold=True), "more than 100000 bytes"),
    "longest": (answers(OK + b"Content-Length: 99999999999999999999\r\n\r\n", hold=True), "HTTP|more than 100000"),
    "compressed": (answers(OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08"), "encoding that was not asked for"),
    "cut body": (answers(OK + b"Content-Length: 5\r\n\r\nabc"), "broke off before the answer was complete"),
    "cut chunk": (answers(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"), "broke off before the answer"),
    "two lengths": (answers(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"), "not answer in HTTP"),
    "length and chunks": (
        answers(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "not answer in HTTP",
    ),
    "no header": (answers(OK + b"Broken\r\n\r\n"), "not answer in HTTP"),
    "another protocol": (answers(b"SSH-2.0-OpenSSH_9.9\r\n", hold=True), "not answer in HTTP"),
    "upgrade": (
        answers(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", hold=True),
        "not answer in HTTP",
    ),
    "nothing": (answers(b""), "broke off before the answer was complete"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_answer_fails_the_node_within_bounds(open_host: OpenHost, name: str) -> None:
    behave, detail = HOSTILE[name]
    host = await open_host(behave)
    with pytest.raises(NodeFailed, match=detail):
        await Asker().run({"url": host.url})


@pytest.mark.parametrize("answer", [b"", OK, OK + b"Content-Length: 5\r\n\r\nabc"])
async def test_host_that_never_ends_is_cut_off_at_the_deadline(open_host: OpenHost, answer: bytes) -> None:
    host = await open_host(answers(answer, hold=True))
    with pytest.raises(DeadlineExceeded):
        await Asker().run({"url": host.url}, timeout_s=0.1)


async def test_host_that_is_not_there_fails_the_node(open_host: OpenHost) -> None:
    host = await open_host(answers(EMPTY))
    asker = Asker(("nobody.example.com",), addresses=[[]])
    with pytest.raises(NodeFailed, match=r"nobody\.example\.com cannot be reached"):
        await asker.run({"url": "http://nobody.example.com"})
    with pytest.raises(NodeFailed, match="cannot be reached"):
        await Asker().run({"url": "http://127.0.0.1:1/"})
    with pytest.raises(NodeFailed, match="cannot be reached"):
        await Asker().run({"url": host.url.replace("http:", "https:")})


async def test_proxy_of_the_environment_is_not_asked(open_host: OpenHost, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = await open_host(answers(HELLO))
    host = await open_host(answers(EMPTY))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    assert (await Asker().run({"url": host.url}))["status"] == 204
    assert proxy.heads == []


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"headers": {"X-A": "{{x}}"}}, "/inputs/x"),
        ({"headers": "{{x}}"}, "/inputs/x"),
        ({"method": "{{x}}"}, "/inputs/x"),
        ({"query": {"a": "{{x}}"}}, "/inputs/x"),
        ({"method": "GET", "json": 1}, None),
    ],
)
async def test_request_that_cannot_be_sent_is_an_invalid_input(params: dict[str, object], pointer: str | None) -> None:
    hostile = {"headers": {"Host": "x"}} if params.get("headers") == "{{x}}" else {}
    sent: object = hostile.get("headers", [{"a\r\nb": 1}] if "query" in params else "a\r\nX-Evil: b")
    asker = Asker()
    if pointer is None:
        with pytest.raises(ConfigurationError, match="a GET or HEAD request has no body"):
            asker.plan({"url": "http://127.0.0.1:1/", **params})
        return
    with pytest.raises(InvalidInput) as caught:
        await asker.run({"url": "http://127.0.0.1:1/", **params}, {"x": sent})
    assert caught.value.faults[0].pointer.startswith(pointer)


def test_mistakes_are_told_at_load() -> None:
    asker = Asker(("api.example.com:8443",))

    def problems(params: dict[str, object], **options: object) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            asker.plan(params, **options)
        return [problem.message.removeprefix("workflows.w.nodes.ask.") for problem in caught.value.problems]

    assert problems({}) == ["params: the param 'url' is missing"]
    assert problems({"url": "https://api.example.com/"}) == [
        "params.url: the host api.example.com is not in http_allow"
    ]
    assert problems({"url": "https://other.example.com/{{x}}"}) == [
        "params.url: the host other.example.com is not in http_allow"
    ]
    assert problems({"url": "ftp://api.example.com/", "method": "PUSH", "body": 1}, allow_status=["x"]) == [
        "params.method: must be one of GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
        "params.body: there is no param named 'body'",
        "params.url: must be a URL such as https://api.example.com/path, without user and password",
        "allow_status: allow_status is a list of HTTP statuses, such as [404]",
    ]  # fmt: skip
    assert problems({"url": "https://api.example.com:8443/", "json": 1, "text": "a", "headers": {"Host": "x"}}) == [
        "params.text: json and text are both given",
        "params.json: a GET or HEAD request has no body",
        "params.headers.Host: Host is no header that a node can set",
    ]
    assert asker.plan({"url": "https://{{host}}/"}).inputs.required == {"host"}
    assert asker.plan({"url": "https://api.example.com:8443/{{x}}", "method": "POST"}).read_only is False
    assert asker.plan({"url": "https://api.example.com:8443/{{x}}"}).read_only is True


async def test_secret_is_named_and_goes_to_one_host_alone(open_host: OpenHost) -> None:
    host = await open_host(answers(EMPTY))
    bearer = {"Authorization": {"secret": "TOKEN", "prefix": "Bearer "}, "X-Key": "{{key}}"}
    asker = Asker()
    await asker.run({"url": host.url, "headers": bearer}, {"key": "k"})
    assert {"authorization: Bearer s3cret", "x-key: k"} <= set(host.heads[0].split("\r\n"))
    with pytest.raises(InvalidInput):
        await asker.run({"url": host.url, "headers": bearer}, {"key": {"secret": "TOKEN"}})
    with pytest.raises(InvalidInput):
        await asker.run({"url": host.url, "headers": "{{all}}"}, {"all": bearer})
    assert len(host.heads) == 1
    for headers, url, told in (
        ({"X": {"secret": "TOKN"}}, host.url, "there is no secret named 'TOKN'"),
        ({"X": {"secret": "{{x}}"}}, host.url, "a header is text, or {secret: NAME, prefix: text}"),
        ({"X": {"secret": "TOKEN", "suffix": "x"}}, host.url, "a header is text, or {secret: NAME, prefix: text}"),
        ({"X": {"secret": "TOKEN"}}, "{{url}}", "a secret goes to one host"),
        ({"X": {"secret": "TOKEN"}}, "http://{{host}}/", "a secret goes to one host"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            asker.plan({"url": url, "headers": headers})
        assert told in caught.value.detail


async def test_dry_run_asks_but_refuses_to_change(open_host: OpenHost) -> None:
    host = await open_host(answers(EMPTY))
    assert (await Asker().run({"url": host.url}, dry_run=True))["status"] == 204
    for method in ("POST", "{{method}}"):
        with pytest.raises(NotSupported):
            await Asker().run(
                {"method": method, "url": host.url}, {"method": "GET"} if "{" in method else {}, dry_run=True
            )
    assert len(host.heads) == 1


async def test_certificate_and_name_are_verified(
    open_host: OpenHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = certificate_for("crm.example.com", tmp_path / "own.pem")
    host = await open_host(answers(HELLO), tls)
    allow = ("crm.example.com", "other.example.com", "127.0.0.1")
    url = f"https://crm.example.com:{host.port}/"
    with pytest.raises(NodeFailed, match="certificate of"):
        await Asker(allow, addresses=[["127.0.0.1"]]).run({"url": url})
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    assert json.dumps((await Asker(allow, addresses=[["127.0.0.1"]]).run({"url": url}))["json"]) == '{"hello": 1.5}'
    with pytest.raises(NodeFailed, match="is not valid"):
        await Asker(allow, addresses=[["127.0.0.1"]]).run({"url": url.replace("crm", "other")})
    with pytest.raises(NodeFailed, match="is not valid"):
        await Asker(allow).run({"url": f"https://127.0.0.1:{host.port}/"})


def certificate_for(name: str, path: Path) -> ssl.SSLContext:
    """A server's context with a certificate that signs itself, written to `path`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("10.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem)
    both = path.with_suffix(".key.pem")
    both.write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context
