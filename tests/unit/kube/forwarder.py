"""A TCP forwarder between a client and an API server, to cut, mute or refuse connections."""

import asyncio
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import yaml


class Forwarder:
    """Forwards bytes unless told otherwise; TLS stays end to end, so faults hit whole connections.

    `cuts_answers`: closes the connection when the server answers. `mute`: holds the server's answers back.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="forwarder-")
        self.cuts_answers = False
        self.mute = False
        self.url = ""

    @classmethod
    def to(cls, url: str) -> Self:
        parts = urlsplit(url)
        return cls(parts.hostname or "", parts.port or 443)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._folder.cleanup()

    def refuse(self) -> None:
        """Ends all connections and takes no new ones."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    def kubeconfig(self, original: Path) -> Path:
        """A copy of a kubeconfig that goes through this forwarder."""
        document = yaml.safe_load(original.read_text())
        for cluster in document["clusters"]:
            cluster["cluster"]["server"] = self.url
        for entry in (*document["clusters"], *document["users"]):
            for section in ("cluster", "user"):
                for key, value in entry.get(section, {}).items():
                    if key in ("certificate-authority", "client-certificate", "client-key"):
                        entry[section][key] = str(original.parent / value)
        path = Path(self._folder.name) / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        pumps = [
            asyncio.create_task(self._pump(reader, server_writer, answers=False)),
            asyncio.create_task(self._pump(server_reader, writer, answers=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            server_writer.close()
            writer.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await source.read(65536):
            if answers and self.cuts_answers:
                return
            if answers and self.mute:
                continue
            target.write(data)
            await target.drain()
