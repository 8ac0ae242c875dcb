"""Keys and tokens of an issuer that tests trust, and the place where it publishes its keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ISSUER: Final = "https://login.example.com"
AUDIENCE: Final = "https://crm.example.com/mcp"
SECRET: Final = "a shared secret that is long enough for every hash, SHA-512 included"  # noqa: S105 - a test's own


def rsa_key(bits: int = 2048) -> RSAPrivateKey:
    """A new RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def ec_key() -> EllipticCurvePrivateKey:
    """A new key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: RSAPrivateKey | EllipticCurvePrivateKey) -> str:
    """The public part in PEM form."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: RSAPrivateKey | EllipticCurvePrivateKey) -> str:
    """The whole key in PEM form."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def claims(scope: str = "*", **more: object) -> dict[str, object]:
    """Claims that are good; those that are None are left out."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600, "scope": scope}
    return {name: value for name, value in {**good, **more}.items() if value is not None}


def signed(key: Any, algorithm: str, payload: dict[str, object], kid: str | None = None) -> str:  # noqa: ANN401 - any key
    """A token that is signed as it says."""
    return jwt.encode(payload, key, algorithm, headers=None if kid is None else {"kid": kid})


def unsigned(payload: dict[str, object]) -> str:
    """A token that says it needs no signature."""
    return jwt.encode(payload, "", "none")


def confused(pem: str, payload: dict[str, object]) -> str:
    """A token signed with HS256, the public key taken for a shared secret; PyJWT itself refuses to make one."""
    head = ".".join(_part(json.dumps(each).encode()) for each in ({"alg": "HS256", "typ": "JWT"}, payload))
    return f"{head}.{_part(hmac.new(pem.encode(), head.encode(), hashlib.sha256).digest())}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(key: RSAPrivateKey | EllipticCurvePrivateKey, **more: object) -> dict[str, object]:
    """The public part as a JSON Web Key."""
    made = (
        RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        if isinstance(key, rsa.RSAPrivateKey)
        else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    )
    return {**made, **more}


class Issuer:
    """Publishes documents over HTTP; a context manager.

    Attributes:
        documents: by path, bytes as they stand; what is not there is 404, None breaks the connection off.
        forms: answers a POST, from the text of its body; by path.
        asked: paths, as they were asked for.
    """

    def __init__(self) -> None:
        self.documents: dict[str, object] = {}
        self.forms: dict[str, Callable[[str], object]] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                document = outer.documents.get(self.path, 404)
                if document is None:
                    self.connection.close()
                    return
                self._tell(404 if document == 404 else 200, document)

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._tell(200, outer.forms[self.path](sent))

            def _tell(self, status: int, document: object) -> None:
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def publish(self, *keys: dict[str, object]) -> None:
        """Let these be the keys at `/jwks`."""
        self.documents["/jwks"] = {"keys": list(keys)}

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
