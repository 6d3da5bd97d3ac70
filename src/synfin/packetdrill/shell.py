"""The shell lines of a script, which no shell sees: known ones set the stack, ask about it or mean nothing here.

Owns their grammar. One that is not known makes the script SKIP(unmapped).
"""

import re
import shlex
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

from synfin.engine.connection import Connection
from synfin.engine.errors import UsageError
from synfin.engine.listener import Listener
from synfin.packetdrill.bench import Bench
from synfin.packetdrill.files import Skip
from synfin.packetdrill.profiles import load_profile
from synfin.packetdrill.sysctls import Changes, changes_for

Effect = Callable[["Shell"], bool]

DISCARDED: Final = re.compile(r"\d*>{1,2}\s*(?:&\d|/dev/null)")
PROC: Final = re.compile(r"/proc/sys/(.*)")
SEPARATORS: Final = (";", "&&", "||", "&")
SYSCTL_FLAGS: Final = re.compile(r"-[eqw]+|--(?:quiet|write|ignore)")
DEFAULTS: Final = re.compile(r"(?:.*/)?defaults\.sh")
RESTORE: Final = re.compile(r"(?:.*/)?sysctl_restore_.*\.sh")
SET_SYSCTLS: Final = re.compile(r"(?:.*/)?set_sysctls\.py")
STATES: Final = {
    "LISTEN": "LISTEN", "CLOSED": "CLOSED", "ESTABLISHED": "ESTABLISHED", "SYN_SENT": "SYN-SENT", "SYN_RCVD": "SYN-RECEIVED",
    "FIN_WAIT_1": "FIN-WAIT-1", "FIN_WAIT_2": "FIN-WAIT-2", "CLOSE_WAIT": "CLOSE-WAIT", "CLOSING": "CLOSING",
    "LAST_ACK": "LAST-ACK", "TIME_WAIT": "TIME-WAIT",
}  # fmt: skip


def nothing(shell: "Shell") -> bool:
    """A line that means nothing here."""
    return True


class Shell:
    """What shell lines do to the stack on `bench`."""

    def __init__(self, bench: Bench, lasting: Mapping[str, Any] | None = None) -> None:
        self._bench = bench
        self._lasting = dict(lasting or {})  # fields of TcpConfig that no line changes

    def check(self, text: str) -> None:
        """Raises Skip when `text` has a line that is not known."""
        self._effects(text)

    def run(self, text: str) -> bool:
        """Do what `text` says; returns whether every line succeeds, as an exit status of 0 would tell. Raises Skip."""
        answers = [effect(self) for effect in self._effects(text)]  # all of them, whatever the first says
        return all(answers)

    # --- reading

    def _effects(self, text: str) -> list[Effect]:
        found: list[Effect] = []
        for line in text.replace("\\\n", " ").split("\n"):
            try:
                lexer = shlex.shlex(DISCARDED.sub("", line), posix=True, punctuation_chars=";&|>")
                lexer.whitespace_split = True
                words = list(lexer)
            except ValueError:
                raise Skip(line.strip(), unmapped=True) from None
            command: list[str] = []
            for word in (*words, ";"):
                if word not in SEPARATORS:
                    command.append(word)
                elif command:
                    found += self._effect(command)
                    command = []
        return found

    def _effect(self, words: list[str]) -> list[Effect]:
        name, rest = words[0], words[1:]
        if "|" in words and name != "sockstat":
            raise unmapped(words)
        if name == "sudo" and rest:
            return self._effect(rest)
        if name in (".", "source", "sh", "bash") and rest:
            name, rest = rest[0], rest[1:]
        if name.rsplit("/", 1)[-1] == "sysctl":
            return self._sysctls([word for word in rest if not SYSCTL_FLAGS.fullmatch(word)], words)
        if SET_SYSCTLS.fullmatch(name) or (name.startswith("python") and rest and SET_SYSCTLS.fullmatch(rest[0])):
            return self._sysctls([word for word in rest if "=" in word], words)
        if name == "echo" and ">" in rest and PROC.fullmatch(rest[-1]):
            return self._sysctls([f"{rest[-1]}={' '.join(rest[: rest.index('>')])}"], words)
        if DEFAULTS.fullmatch(name):
            return [defaults]
        if name in ("true", ":") or RESTORE.fullmatch(name) or self._idle(name, rest):
            return [nothing]
        if name == "ip":
            return self._ip(rest, words)
        if name == "sockstat":
            return [self._question(words)]
        if name == "tcpdrop":
            return [drop]
        raise unmapped(words)

    def _sysctls(self, settings: list[str], words: list[str]) -> list[Effect]:
        found: list[Effect] = []
        for each in settings:
            name, equals, value = each.partition("=")
            path = PROC.fullmatch(name.strip())
            name = path.group(1).replace("/", ".") if path else name.strip()
            if not equals:
                raise unmapped(words)
            changes_for(name, value.strip(), self._bench.stack.config)  # one that is not known is told of before the play
            found.append(sysctl(name, value.strip(), words))
        if not found:
            raise unmapped(words)
        return found

    def _idle(self, name: str, rest: list[str]) -> bool:
        """Whether a line changes nothing that synfin has: offloads switched off, a plain queue, metrics forgotten."""
        if name == "ethtool":
            return bool({"-K", "--offload", "--features"} & set(rest)) and "on" not in rest
        if name == "tc":
            return rest[:1] == ["qdisc"] and "netem" not in rest and bool({"pfifo", "bfifo", "del", "show"} & set(rest))
        return name == "ip" and "tcp_metrics" in rest

    def _ip(self, rest: list[str], words: list[str]) -> list[Effect]:
        """`ip route ... mtu N`, `initcwnd N`; `ip link set ... mtu N`."""
        found: list[Effect] = []
        for word, value in pairwise(rest):
            if word in ("advmss", "initrwnd", "rto_min", "quickack", "congctl", "features", "cwnd", "window"):
                raise unmapped(words)
            if word in ("del", "delete", "flush"):
                raise unmapped(words)
            if word == "mtu" and not (value.isdecimal() and 576 <= int(value) <= 65_535):
                raise unmapped(words)
            if word == "mtu":
                found.append(mtu(int(value)))
            elif word == "initcwnd" and value.isdecimal() and value.strip("0"):
                found.append(configuring({"initial_window_segments": int(value)}, words))
        if not found or not {"route", "link"} & set(rest):
            raise unmapped(words)
        return found

    def _question(self, words: list[str]) -> Effect:
        """`sockstat ... | grep -c STATE | grep N`"""
        parts: list[list[str]] = [[]]
        for word in words:
            if word == "|":
                parts.append([])
            else:
                parts[-1].append(word)
        if len(parts) != 3 or parts[1][:2] != ["grep", "-c"] or parts[2][:1] != ["grep"] or len(parts[1]) != 3:
            raise unmapped(words)
        state, wanted = STATES.get(parts[1][2].strip("'\"")), parts[2][-1]
        if state is None or not wanted.isdigit():
            raise unmapped(words)

        def ask(shell: "Shell") -> bool:
            return wanted in str(shell.count(state))

        return ask

    # --- doing

    @property
    def bench(self) -> Bench:
        """What the lines act on."""
        return self._bench

    def configure(self, changes: Changes) -> None:
        """Change fields of the configuration of connections to come, listeners' included."""
        stack = self._bench.stack
        changes = {**changes, **self._lasting}
        stack.config = stack.config.replace(**changes)
        for entry in stack.sockets():
            if isinstance(entry, Listener):
                entry.config = entry.config.replace(**changes)

    def count(self, state: str) -> int:
        """How many sockets are in `state`."""
        found = sum(str(entry.state) == state for entry in self._bench.stack.sockets())
        if state == "SYN-RECEIVED":
            found += sum(entry.half_open for entry in self._bench.stack.sockets() if isinstance(entry, Listener))
        return found


def unmapped(words: list[str]) -> Skip:
    """What to raise for a line that is not known."""
    return Skip(" ".join(words), unmapped=True)


def configuring(changes: Changes, words: list[str]) -> Effect:
    """Set fields of TcpConfig; raises Skip when the values break its rules."""

    def effect(shell: Shell) -> bool:
        try:
            shell.configure(changes)
        except UsageError:
            raise unmapped(words) from None
        return True

    return effect


def sysctl(name: str, value: str, words: list[str]) -> Effect:
    """Set the sysctl `name`; what it means may depend on those set before it, in the same line too."""

    def effect(shell: Shell) -> bool:
        return configuring(changes_for(name, value, shell.bench.stack.config), words)(shell)

    return effect


def mtu(size: int) -> Effect:
    """Packets of new connections have at most `size` bytes."""

    def effect(shell: Shell) -> bool:
        shell.bench.device.mtu = size
        return True

    return effect


def defaults(shell: Shell) -> bool:
    """A defaults.sh sets what Linux has by default; --mss is none of its matters."""
    stack = shell.bench.stack
    stack.config = load_profile("linux").config.replace(fast_path=stack.config.fast_path, mss=stack.config.mss)
    shell.configure({})
    return True


def drop(shell: Shell) -> bool:
    """tcpdrop: end every connection by RST."""
    stack, now = shell.bench.stack, shell.bench.clock
    for entry in stack.sockets():
        if isinstance(entry, Connection):
            entry.abort(now)
            stack.attend(entry, now)
    shell.bench.settle()
    return True
