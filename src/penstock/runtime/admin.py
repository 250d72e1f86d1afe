"""The second port: what Prometheus and the operator read, served from a thread of its own."""

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

# A reader that sends nothing must not hold a thread for good.
_READ_SECONDS = 10

Page = Callable[[str], tuple[str, bytes] | None]
"""Makes a page of a query string: its content type and its bytes; None if that cannot be said at the moment."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = _READ_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""


def serve_pages(host: str, port: int, pages: dict[str, Page]) -> Callable[[], None]:
    """Serves the pages by their paths; returns what stops it. Raises `OSError` if the port is taken."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        page = pages.get(environ["PATH_INFO"])
        if page is None:
            start_response("404 Not Found", [("content-type", "application/json")])
            return [b'{"error":"there is nothing here, only %s"}' % ", ".join(pages).encode()]
        made = page(environ.get("QUERY_STRING", ""))
        if made is None:
            start_response("503 Service Unavailable", [("content-type", "application/json"), ("retry-after", "1")])
            return [b'{"error":"a worker does not answer, try again"}']
        kind, body = made
        start_response("200 OK", [("content-type", kind), ("content-length", str(len(body)))])
        return [body]

    server = make_server(host, port, app, server_class=_Server, handler_class=_Handler)
    thread = threading.Thread(target=server.serve_forever, name="admin", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
