"""An S3 server on loopback for tests: moto's, behind faults that a test asks for, and counted.

Unusual: a fault is a function that is asked at each request, by its method and path. What it answers is what happens:
an HTTP status such as 500 (404: of the bucket), a wait of so many seconds (a float), "cut" (the answer breaks off
halfway) or "lost" (the request is carried out, and nobody hears of it); nothing lets the request pass.
"""

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_CODES = {
    403: (b"AccessDenied", b"Access Denied"),
    404: (b"NoSuchBucket", b"The specified bucket does not exist"),
    503: (b"SlowDown", b"Please reduce your request rate"),
}
Fault = Callable[[str, str], int | float | str | None]


class _Silent(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Say nothing of requests."""


@dataclass
class Server:
    """The server as tests see it. requests: how many there were, by method."""

    url: str = ""
    fault: Fault = lambda method, path: None
    requests: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def client(self) -> Any:
        """What tests look into the server with; faults meet it too."""
        return boto3.client("s3", endpoint_url=self.url)

    def upload(self, folder: Path, bucket: str, prefix: str) -> None:
        """Put all files of a folder into a bucket, which is made."""
        client = self.client
        client.create_bucket(Bucket=bucket)
        for path in folder.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(folder).as_posix()}")

    def make(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Put objects by name into a bucket, without a request."""
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for name, data in objects.items():
            backend.put_object(bucket, name, data)

    def reset(self) -> None:
        """Let every bucket vanish with all that is in it."""
        self.fault = lambda *_: None
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].reset()

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Return the content of every object below a prefix, by its name below it."""
        client, found = self.client, {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", []):
                body = client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
                found[one["Key"].removeprefix(prefix)] = body
        return found

    def answer(self, application: Any, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Carry out a request, with the fault that is wanted."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self.lock:
            self.requests[method] += 1
            fault = self.fault(method, path)
        if isinstance(fault, int):
            code, said = _CODES.get(fault, (b"InternalError", b"as the test wants"))
            start(f"{fault} fault", [("Content-Type", "application/xml")])
            return [b"<Error><Code>" + code + b"</Code><Message>" + said + b"</Message></Error>"]
        if isinstance(fault, float):
            time.sleep(fault)
        body = b"".join(application(environ, start))
        if fault in ("cut", "lost"):
            return _broken(environ["werkzeug.socket"], body[: len(body) // 2] if fault == "cut" else b"")
        return [body]


def _broken(connection: socket.socket, begun: bytes) -> Iterator[bytes]:
    if begun:
        yield begun
    connection.shutdown(socket.SHUT_RDWR)
    yield b"unheard"


@contextmanager
def served() -> Iterator[Server]:
    """Serve S3 on loopback, with the environment that leads there, until the end."""
    server, application = Server(), DomainDispatcherApplication(create_backend_app)
    http = make_server(
        "127.0.0.1", 0, lambda *asked: server.answer(application, *asked), threaded=True, request_handler=_Silent
    )
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    before = {name: os.environ.get(name) for name in (*ENVIRONMENT, "AWS_ENDPOINT_URL")}
    os.environ |= ENVIRONMENT | {"AWS_ENDPOINT_URL": server.url}
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
