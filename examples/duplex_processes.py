"""Full duplex by two child processes that share one connection: one only sends, the other only receives.

    python examples/duplex_processes.py listen COUNT         prints the port that it listens on; Ctrl-C ends it
    python examples/duplex_processes.py call PORT COUNT      both sides send COUNT messages, at the same time
"""

import multiprocessing
import signal
import socket
import sys

from synfin.channels.blocking import MessageSocket
from synfin.channels.framing import LengthHeader

FORKING = multiprocessing.get_context("fork")  # the children inherit the connection
FRAMING = LengthHeader(4)
PORTS = [str(number) for number in range(1, 65_536)]  # what PORT may be


def send(sock: socket.socket, name: str, count: int) -> None:
    """The first child."""
    messages = MessageSocket(sock, FRAMING)
    for number in range(count):
        messages.send(f"{name} {number}".encode(), timeout=5)
    messages.finish()  # FIN; the other child goes on receiving


def receive(sock: socket.socket) -> None:
    """The second child."""
    heard = [message.decode() for message in MessageSocket(sock, FRAMING)]
    print(f"{len(heard)} messages, from {heard[0]!r} to {heard[-1]!r}", flush=True)


def talk(sock: socket.socket, name: str, count: int) -> None:
    children = [FORKING.Process(target=send, args=(sock, name, count)), FORKING.Process(target=receive, args=(sock,))]
    for child in children:
        child.start()
    sock.close()  # ours: the children have theirs
    for child in children:
        child.join()
    sys.exit(max(child.exitcode or 0 for child in children))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the children too, without a word
    if len(sys.argv) == 3 and sys.argv[1] == "listen" and sys.argv[2].isdecimal():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            print(f"listening on port {listener.getsockname()[1]}", flush=True)
            connection, _ = listener.accept()
        talk(connection, "listener", int(sys.argv[2]))
    elif len(sys.argv) == 4 and sys.argv[1] == "call" and sys.argv[2] in PORTS and sys.argv[3].isdecimal():
        talk(socket.create_connection(("127.0.0.1", int(sys.argv[2]))), "caller", int(sys.argv[3]))
    else:
        sys.exit(__doc__)
