"""A server in this process, for downloads."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Handler(BaseHTTPRequestHandler):
    """Serves `files`; the other attributes say how well."""

    files: dict[str, bytes]
    ranges = True
    conditions = True  # whether If-Range is understood
    encoding = "length"  # or chunked, or neither
    marks: dict[str, str]  # ETag, Last-Modified
    cut: int | None = None  # end the connection after so many bytes
    shift = 0  # begin a part so many bytes too late
    asked: list[tuple[str, str | None]]

    def do_GET(self):
        name, asked = self.path.lstrip("/"), self.headers.get("Range")
        self.asked.append((name, asked))
        if name not in self.files:
            self.send_error(404)
            return
        content = self.files[name]
        condition = self.headers.get("If-Range")
        if not self.ranges or (self.conditions and condition not in (None, *self.marks.values())):
            asked = None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(content) and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        start += self.shift if start else 0
        self.send_response(206 if start else 200)
        for key, value in self.marks.items():
            self.send_header(key, value)
        if start:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", span)
        self.send_body(content[start:])

    def send_body(self, content):
        if self.encoding == "length":
            self.send_header("Content-Length", str(len(content)))
        elif self.encoding == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
        self.end_headers()
        self.wfile.write(content[: self.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """The handler's class, which tests adjust, and the address."""

    class Served(Handler):
        files, asked, marks = {}, [], {"ETag": '"1"'}

    running = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Served.address = f"http://127.0.0.1:{running.server_address[1]}"
    yield Served
    running.shutdown()
    thread.join()
    running.server_close()
