"""Serves the page: to this machine only, one presentation at a time, the newest drawing first."""

from __future__ import annotations

import asyncio
import importlib.resources
import itertools
import json
import signal
import socket
import webbrowser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from softhebb_spiking.show.stage import DrawingError, Stage, drawing_from

LOOPBACK = "127.0.0.1"
CONTENT_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "show.css": "text/css; charset=utf-8",
    "show.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "sketch.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_BYTES_PER_PIXEL = 24  # of a number in JSON, with its comma
_BYTES_BESIDES = 1024
# Larger bodies are refused unread; smaller ones are read to their end, so that who sends them is
# still there for the answer.
_READ_AT_MOST = 1 << 20
_BODY_TIMEOUT_S = 10.0
_IDLE_TIMEOUT_S = 30.0
_MOST_CONNECTIONS = 100
_LONGEST_PAGE_NAME = 64


class Desk:
    """Presents drawings one at a time; of those of a page that wait, only the newest.

    Parameters
    ----------
    answer : callable
        From a drawing and the number of its random stream to JSON data; runs in a thread.
    """

    def __init__(self, answer: Callable[..., dict[str, Any]]) -> None:
        self._answer = answer
        self._turn = asyncio.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="presentation")
        self._tickets = itertools.count()
        self._newest: dict[str, int] = {}

    async def present(self, page: str, *drawing: Any) -> dict[str, Any] | None:
        """Return the answer to a drawing, or None if the page has sent a newer one since."""
        ticket = self._newest[page] = next(self._tickets)
        async with self._turn:  # in the order in which they came
            if self._newest.get(page) != ticket:
                return None
            loop = asyncio.get_running_loop()
            try:
                return await loop.run_in_executor(self._worker, self._answer, *drawing)
            finally:
                if self._newest.get(page) == ticket:
                    del self._newest[page]

    def close(self) -> None:
        """Wait for a presentation that runs; start no other."""
        self._worker.shutdown(cancel_futures=True)


class _Guarded(RequestHandler):
    """Answers only those who mean this server: a page of another site does not.

    A name of another site that suddenly leads to this machine (DNS rebinding) is seen by the
    Host header, what another site's page sends by its Origin.
    """

    def prepare(self) -> None:
        hosts: frozenset[str] = self.settings["hosts"]
        if self.request.host.lower() not in hosts:
            raise HTTPError(403, reason=f"Host must be one of {', '.join(sorted(hosts))}")
        origin = self.request.headers.get("Origin")
        asked_by_itself = origin is None and self.request.method in ("GET", "HEAD")
        if not asked_by_itself and origin not in {f"http://{host}" for host in hosts}:
            raise HTTPError(403, reason="Origin must be this page")

    def set_default_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish({"error": f"{self._reason}."})


class _Missing(_Guarded):
    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404)


class _File(_Guarded):
    def initialize(self, name: str, content: bytes) -> None:
        self._name, self._content = name, content

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPES[self._name])
        self.finish(self._content)


class _Facts(_Guarded):
    def get(self) -> None:
        self.finish(self.settings["stage"].facts())


@stream_request_body
class _Present(_Guarded):
    def prepare(self) -> None:
        super().prepare()
        n_features = self.settings["stage"].network.n_features_in_
        self._limit = _BYTES_BESIDES + _BYTES_PER_PIXEL * n_features
        self._body = bytearray()
        self._size = 0
        announced = self.request.headers.get("Content-Length", "0")
        if announced.isdecimal() and int(announced) > _READ_AT_MOST:
            self._refuse_size()

    def data_received(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= self._limit:
            self._body += chunk

    async def post(self) -> None:
        if self._size > self._limit:
            self._refuse_size()
        try:
            message = json.loads(self._body)
        except (ValueError, RecursionError) as error:
            self._refuse(f"not JSON: {error}")
            return
        try:
            drawing = drawing_from(message, self.settings["stage"].network.n_features_in_)
        except DrawingError as error:
            self._refuse(str(error))
            return
        page = message.get("page", "")
        if not isinstance(page, str) or len(page) > _LONGEST_PAGE_NAME:
            self._refuse(f"page must be a string of at most {_LONGEST_PAGE_NAME} characters")
            return
        answer = await self.settings["desk"].present(page, *drawing)
        self.finish({"stale": True} if answer is None else answer)

    def _refuse(self, message: str) -> None:
        self.set_status(400)
        self.finish({"error": message})

    def _refuse_size(self) -> None:
        raise HTTPError(413, reason=f"A drawing has at most {self._limit} bytes")


def make_application(stage: Stage, port: int) -> Application:
    """Return the application; needs a running event loop.

    Parameters
    ----------
    stage : Stage
        What is shown.
    port : int
        Where it will be served, for the check of Host and Origin.
    """
    names = [LOOPBACK, "localhost"]
    hosts = {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())
    folder = importlib.resources.files("softhebb_spiking.show") / "page"
    files = {name: (folder / name).read_bytes() for name in CONTENT_TYPES}
    routes: list[Any] = [
        (f"/{'' if name == 'index.html' else name}", _File, {"name": name, "content": content})
        for name, content in files.items()
    ]
    routes += [("/facts", _Facts), ("/present", _Present)]
    return Application(
        routes,
        default_handler_class=_Missing,
        stage=stage,
        desk=Desk(stage.answer),
        hosts=frozenset(hosts),
        log_function=lambda handler: None,
    )


class _Server(HTTPServer):
    """A server that hangs up at once on those who come when it has many connections."""

    def handle_stream(self, stream: Any, address: Any) -> None:
        if len(self._connections) < _MOST_CONNECTIONS:
            super().handle_stream(stream, address)
        else:
            stream.close()


def claim_port(port: int) -> socket.socket:
    """Return a socket that listens on this machine's own address only.

    Parameters
    ----------
    port : int
        0 takes a free one.

    Raises
    ------
    OSError
        If the port is taken or not allowed; the message says what to do.
    """
    try:
        (listening,) = bind_sockets(port, address=LOOPBACK, family=socket.AF_INET)
    except OSError as error:
        state = "not allowed" if isinstance(error, PermissionError) else "taken"
        raise OSError(
            f"port {port} is {state} ({error.strerror}); choose another with --port, or "
            "--port 0 for any free one"
        ) from error
    return listening


async def serve(
    stage: Stage, listening: socket.socket, *, ready: Callable[[str], None], browse: bool = False
) -> None:
    """Serve the page until the process is told to end by Ctrl-C or SIGTERM.

    Parameters
    ----------
    stage : Stage
        What is shown.
    listening : socket
        From `claim_port`.
    ready : callable
        Called with the address once it can be opened.
    browse : bool
        Whether to open it in the browser.
    """
    port = listening.getsockname()[1]
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    application = make_application(stage, port)
    server = _Server(
        application,
        max_body_size=_READ_AT_MOST,
        body_timeout=_BODY_TIMEOUT_S,
        idle_connection_timeout=_IDLE_TIMEOUT_S,
    )
    server.add_sockets([listening])
    address = f"http://{LOOPBACK}:{port}/"
    ready(address)
    if browse:
        await loop.run_in_executor(None, webbrowser.open, address)
    await ended.wait()
    server.stop()
    await server.close_all_connections()
    application.settings["desk"].close()
