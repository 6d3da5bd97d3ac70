"""Simplex, the sending program: it only sends.

    python examples/simplex_sender.py PORT WORD ...

`python examples/simplex_receiver.py` is the other program, and prints the port.
"""

import sys

from synfin.channels.blocking import connect
from synfin.channels.directionblocking import BlockingSender
from synfin.channels.framing import LengthHeader
from synfin.engine.errors import UsageError

if len(sys.argv) < 3 or sys.argv[1] not in map(str, range(1, 65_536)):
    sys.exit(__doc__)
sender = BlockingSender(connect(("127.0.0.1", int(sys.argv[1])), LengthHeader(4), timeout=5))
for word in sys.argv[2:]:
    sender.send(word.encode(), timeout=5)
try:
    sender.receive()
except UsageError as error:
    print(error)
sender.close(timeout=5)
print(f"{len(sys.argv) - 2} messages sent")
