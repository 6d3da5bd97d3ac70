"""A folder over HTTP/1.1, read-only: what `synfin serve http` serves. Plain asyncio; knows nothing of synfin.

Owns what a request may reach: files below the folder, and listings of its directories. GET and HEAD, connections are kept.
"""

import asyncio
import html
import mimetypes
import os
import urllib.parse
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final

CHUNK: Final = 262_144  # bytes read from a file at once
PATIENCE: Final = 60.0  # seconds that a kept connection may be silent


class FileServer:
    """Serves `directory`."""

    def __init__(self, directory: Path) -> None:
        self.root = directory.resolve()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until it ends; raises OSError and IncompleteReadError as the streams do."""
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
            except (TimeoutError, asyncio.IncompleteReadError):
                return
            if not await self._answer(head.decode("latin-1"), writer):
                return

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; returns whether another may follow."""
        first, *rest = head.split("\r\n")
        words = first.split(" ")
        fields = {name.strip().lower(): value.strip().lower() for name, _, value in (line.partition(":") for line in rest)}
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            await _say(writer, HTTPStatus.BAD_REQUEST, "", close=True)
            return False
        method, target, version = words
        bodily = fields.get("content-length", "0") != "0" or "transfer-encoding" in fields
        keep = fields.get("connection", "keep-alive" if version == "HTTP/1.1" else "close") != "close" and not bodily
        if method not in ("GET", "HEAD"):
            await _say(writer, HTTPStatus.METHOD_NOT_ALLOWED, "Allow: GET, HEAD\r\n", close=True)
            return False
        await self._send(target, method == "GET", writer, keep)
        return keep

    async def _send(self, target: str, whole: bool, writer: asyncio.StreamWriter, keep: bool) -> None:
        raw = urllib.parse.urlsplit(target).path
        path = self._reach(raw)
        if path is None:
            await _say(writer, HTTPStatus.NOT_FOUND, "", close=not keep)
        elif path.is_dir():
            if not raw.endswith("/"):
                await _say(writer, HTTPStatus.MOVED_PERMANENTLY, f"Location: {raw}/\r\n", close=not keep)
                return
            page = _listing(path, raw).encode()
            writer.write(_head(HTTPStatus.OK, len(page), "text/html; charset=utf-8", keep) + (page if whole else b""))
            await writer.drain()
        else:
            try:
                file = path.open("rb")
            except OSError:
                await _say(writer, HTTPStatus.FORBIDDEN, "", close=not keep)
                return
            with file:
                await _send_file(file, path, whole, writer, keep)

    def _reach(self, raw: str) -> Path | None:
        """The file that a request names; None when there is none below the folder."""
        try:
            wanted = (self.root / urllib.parse.unquote(raw).lstrip("/")).resolve()
        except (OSError, ValueError):  # a loop of links; a zero byte
            return None
        inside = wanted == self.root or self.root in wanted.parents
        return wanted if inside and (wanted.is_file() or wanted.is_dir()) else None


async def _send_file(file: BinaryIO, path: Path, whole: bool, writer: asyncio.StreamWriter, keep: bool) -> None:
    left = os.fstat(file.fileno()).st_size
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    writer.write(_head(HTTPStatus.OK, left, kind, keep))
    while whole and left:
        data = file.read(min(CHUNK, left))
        if not data:  # it has become shorter: what was promised cannot be kept
            writer.transport.abort()
            return
        left -= len(data)
        writer.write(data)
        await writer.drain()
    await writer.drain()


def _head(status: HTTPStatus, length: int, kind: str, keep: bool, more: str = "") -> bytes:
    connection = "" if keep else "Connection: close\r\n"
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: synfin\r\n"
    return f"{head}Content-Type: {kind}\r\nContent-Length: {length}\r\n{more}{connection}\r\n".encode()


async def _say(writer: asyncio.StreamWriter, status: HTTPStatus, more: str, *, close: bool) -> None:
    text = f"{status.value} {status.phrase}\n".encode()
    writer.write(_head(status, len(text), "text/plain", not close, more) + text)
    await writer.drain()


def _listing(path: Path, raw: str) -> str:
    title = html.escape(urllib.parse.unquote(raw))
    items = []
    for each in sorted(path.iterdir()):
        name = each.name + ("/" if each.is_dir() else "")
        items.append(f'<li><a href="{html.escape(urllib.parse.quote(name))}">{html.escape(name)}</a></li>\n')
    return f"<!DOCTYPE html>\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n{''.join(items)}</ul>\n"
