"""A small HTTP/1.1 file server in plain asyncio. It knows nothing of synfin: run it by itself and it serves over the kernel.

    python tests/interop/file_server.py 127.0.0.1 8080 DIRECTORY

GET sends a file, PUT stores one; anything else is told so. Connections are kept open between requests.
"""

import asyncio
import sys
from pathlib import Path

CHUNK = 50_000


class FileServer:
    """Serves the files of `directory`; `requests` counts those that were answered."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.requests = 0

    async def start(self, hosts: list[str], port: int) -> asyncio.Server:
        return await asyncio.start_server(self.serve, hosts, port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.answer_one(reader, writer):
                self.requests += 1
        except asyncio.IncompleteReadError:
            pass  # the client is done
        finally:
            writer.close()

    async def answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        path = self.directory / target.rpartition("/")[2]
        if method == "PUT":
            await self.store(path, fields, reader, writer)
        elif method == "GET" and path.is_file():
            await self.send(path.read_bytes(), writer)
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        return fields.get("connection", "").lower() != "close"

    async def send(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(data))
        for at in range(0, len(data), CHUNK):
            writer.write(data[at : at + CHUNK])
            await writer.drain()

    async def store(
        self, path: Path, fields: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if fields.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        path.write_bytes(await reader.readexactly(int(fields["content-length"])))
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")


async def main(host: str, port: str, directory: str) -> None:
    server = await FileServer(Path(directory)).start([host], int(port))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
