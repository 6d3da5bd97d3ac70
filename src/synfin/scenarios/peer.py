"""A peer played by hand: it answers with segments that no TCP of ours would send.

Owns what it says and the states it would be in, which it tells as a stack does, so that the trace reads alike. Its host's
stack sees nothing of all this.
"""

from synfin.engine.config import TcpConfig
from synfin.engine.segment import ACK, ACK_DELAYED, SYN, SYN_OPEN, Outgoing
from synfin.engine.seq import MASK
from synfin.engine.state import State, Trigger, next_state
from synfin.sim.faults import SeenPacket
from synfin.sim.host import SimHost
from synfin.stack.addresses import listener_key, make_key
from synfin.wire.packet import build_packet


class Peer:
    """A server on `host`, listening on `port`, whose own numbers begin at `iss`."""

    def __init__(self, host: SimHost, port: int, iss: int, config: TcpConfig) -> None:
        self._host = host
        self._port = port
        self._iss = iss
        self._window = min(config.receive_buffer, 65_535)
        self._state = State.CLOSED
        self._key = listener_key(bytes(4), port)

    async def answer_in_two_segments(self) -> None:
        """Answer each SYN with a SYN and an ACK apart, and a SYN,ACK that comes again with an ACK."""
        raw = self._host.raw()
        self._move(Trigger.PASSIVE_OPEN)
        while True:
            packet = SeenPacket(await raw.recv())
            self._key = make_key(packet.source, packet.source_port, packet.destination, packet.destination_port)
            acknowledgment = (packet.seq + 1) & MASK
            if packet.syn and not packet.ack_set:
                if self._state is State.LISTEN:
                    self._move(Trigger.SYN)
                self._send(self._iss, 0, SYN, SYN_OPEN)
                self._send((self._iss + 1) & MASK, acknowledgment, ACK, ACK_DELAYED)
            elif packet.syn and packet.ack == (self._iss + 1) & MASK:
                if self._state is State.SYN_RECEIVED:
                    self._move(Trigger.ACK_OF_SYN)
                else:
                    self._send((self._iss + 1) & MASK, acknowledgment, ACK, ACK_DELAYED)

    def _move(self, trigger: Trigger) -> None:
        old, self._state = self._state, next_state(self._state, trigger)
        observer = self._host.stack.observer
        if observer is not None:
            observer.state_changed(self._host.now(), self._key, old, trigger, self._state)

    def _send(self, seq: int, ack: int, flags: int, reason: int) -> None:
        out = Outgoing(seq, ack, flags, self._window, reason)
        out.mss = 1460 if flags & SYN else -1
        self._host.send(build_packet(self._key, out, identification=0), out)
