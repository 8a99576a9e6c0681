"""HTTP for the page, and for nobody but the page.

A browser lets every site send requests to this machine. So a request must name a host that is
ours (else a foreign name was pointed at this address: DNS rebinding), a recording must come from
the page itself, with a content type that no foreign form can have, and what the page loads is
bounded by a policy. Uploads lie in a temporary folder while they are transcribed.
"""

import contextlib
import ipaddress
import json
import logging
import socket
import socketserver
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from espnet_otreg.demo.service import RefusedError, Service
from espnet_otreg.errors import UserError, one_line

SCRIPTS = ("page", "picture", "microphone", "recorder")
PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in SCRIPTS},
}
BODY = "application/octet-stream"
BLOCK = 1 << 16  # bytes
PATIENCE = 60.0  # seconds that a connection may be still
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self)",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Listens at once; what needs the model is refused until it has loaded."""

    daemon_threads = True  # Ctrl-C does not wait for a transcript

    def __init__(self, host: str, port: int, service: Service, folder: Path) -> None:
        self.service, self.folder, self.host = service, folder, host
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise UserError(
                f"port {port} of {host} cannot be listened at ({error.strerror or error}): give "
                "another --port, or --port 0 for any that is free"
            ) from error
        except OverflowError as error:
            raise UserError(f"--port must be 0 to 65535, got {port}") from error

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called, as HTTPServer does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    @property
    def address(self) -> str:
        """Return what to type into a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_port}/"

    def knows(self, host: str) -> bool:
        """Tell whether a request's Host is a name of ours.

        An address needs no name server, so nobody can have pointed it elsewhere; the port is not
        asked, as it may have come through a tunnel.
        """
        with contextlib.suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            if name in ("localhost", self.host):
                return True
            address = ipaddress.ip_address(name)
            return address.is_loopback or not is_loopback(self.host)
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over browsers that went away in the middle; log the rest."""
        logging.debug("a connection of %s failed", client_address, exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.0"  # a connection each: what was not read cannot be taken for more
    server_version, sys_version = "espnet-otreg", ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Serve the page's files, and the state of the model."""
        path = urlsplit(self.path).path
        try:
            self._check_host()
            if path == "/status":
                self._send_json(200, self.server.service.status())
            elif path in PAGE:
                name, kind = PAGE[path]
                content = files("espnet_otreg.demo").joinpath("page", name).read_bytes()
                self._send(200, f"{kind}; charset=utf-8", content)
            else:
                raise RefusedError(404, f"There is no {path} here.")
        except RefusedError as error:
            self._refuse(error)

    def do_POST(self) -> None:
        """Take a recording, and answer with its transcript."""
        try:
            self._check_host()
            self._check_origin()
            url = urlsplit(self.path)
            if url.path != "/transcribe":
                raise RefusedError(404, f"Nothing takes a recording at {url.path}.")
            given = parse_qs(url.query)
            size = self._size()
            name = Path(given.get("name", [""])[0]).name
            name = name if name and name.isprintable() else "recording"  # it is logged, too
            language = given.get("language", [""])[0].strip() or None
            with tempfile.TemporaryDirectory(dir=self.server.folder) as folder:
                path = Path(folder) / f"recording{_ending(name)}"
                self._receive(path, size)
                answer = self.server.service.transcribe(path, name, language)
            logging.info("%s: %.1f s of speech", name, answer["duration"])
            self._send_json(200, answer)
        except RefusedError as error:
            self._refuse(error)
        except OSError as error:  # a full disk; or the browser went away, and nobody hears it
            self._refuse(RefusedError(500, f"The recording could not be kept: {error.strerror}."))
        except Exception as error:  # whatever a model does; the page and the next one go on
            logging.exception("the model failed")
            reason = f"{type(error).__name__}: {one_line(error)}"
            self._refuse(
                RefusedError(500, f"The model failed ({reason}). The terminal tells more.")
            )

    def _check_host(self) -> None:
        host = self.headers.get("Host", "")
        if not self.server.knows(host):
            raise RefusedError(403, f"This page is not to be had as {host!r}.")

    def _check_origin(self) -> None:
        """Refuse what another site's page sends."""
        origin, host = self.headers.get("Origin"), self.headers.get("Host", "")
        if origin is not None and urlsplit(origin).netloc != host:
            raise RefusedError(403, f"Recordings come from this page, not from {origin}.")
        if self.headers.get_content_type() != BODY:  # forms of other sites cannot say this
            raise RefusedError(415, f"A recording is sent as Content-Type: {BODY}.")

    def _size(self) -> int:
        most = self.server.service.limits.megabytes
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) <= 15):
            raise RefusedError(411, "A recording is sent with its Content-Length.")
        if int(length) > most * 1e6:
            raise RefusedError(
                413,
                f"The file has {int(length) / 1e6:.0f} MB, and the page takes up to {most:g}: use "
                "espnet-otreg transcribe, or give --max_megabytes.",
            )
        if not int(length):
            raise RefusedError(400, "The file is empty.")
        return int(length)

    def _receive(self, path: Path, size: int) -> None:
        with open(path, "wb") as stream:
            while size:
                block = self.rfile.read(min(size, BLOCK))
                if not block:
                    raise RefusedError(400, "The recording broke off on its way.")
                stream.write(block)
                size -= len(block)

    def _refuse(self, error: RefusedError) -> None:
        with contextlib.suppress(OSError):
            self._send_json(error.status, {"error": str(error)})

    def _send_json(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        self._send(status, "application/json", body)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep each request out of the terminal."""
        logging.debug(format, *args)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ending(name: str) -> str:
    """Return a name's ending as far as a decoder may go by it, and nothing odd."""
    ending = Path(name).suffix.lower()
    return ending if ending[1:].isalnum() and ending.isascii() and len(ending) <= 6 else ""
