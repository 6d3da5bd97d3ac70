"""A TCP relay in plain asyncio, which knows nothing of synfin: each connection to it is joined to one of its own."""

import asyncio

CHUNK = 1 << 18


class Relay:
    """Joins what it accepts to `host` and `port`; `carried` counts the bytes each way, `joined` the pairs."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.joined = 0
        self.carried = [0, 0]

    async def start(self, host: str, port: int) -> asyncio.Server:
        return await asyncio.start_server(self.join, host, port)

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self.host, self.port)
        self.joined += 1
        try:
            await asyncio.gather(self.carry(reader, there_writer, 0), self.carry(there_reader, writer, 1))
        except ConnectionError:
            pass  # one side has gone; the other is told by the end of its connection
        finally:
            writer.close()
            there_writer.close()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: int) -> None:
        """One direction, its end included."""
        while data := await reader.read(CHUNK):
            self.carried[way] += len(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
