"""Simplex, the receiving program: its own half of each connection is shut down at once, it only listens.

    python examples/simplex_receiver.py         prints the port that it listens on, then what comes; Ctrl-C ends it

`python examples/simplex_sender.py PORT WORD ...` is the other program. Ends after the first sender.
"""

import signal
import socket

from synfin.channels.blocking import MessageSocket
from synfin.channels.directionblocking import BlockingReceiver
from synfin.channels.framing import LengthHeader
from synfin.engine.errors import UsageError

signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(f"listening on port {listener.getsockname()[1]}", flush=True)
    sock, _ = listener.accept()
receiver = BlockingReceiver(MessageSocket(sock, LengthHeader(4)))
try:
    receiver.send(b"me too")
except UsageError as error:
    print(error)
for message in receiver:
    print(message.decode(), flush=True)
receiver.close()
print("the sender has finished")
