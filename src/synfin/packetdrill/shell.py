"""The shell lines of a script, which no shell sees: known ones set the stack, ask about it or mean nothing here.

Owns their grammar: commands one after the other, `&&` and `||`, variables that a line sets itself, other files of such lines.
One that is not known makes the script SKIP(unmapped), unless it is plain that it would not run, or stands in a defaults.sh:
what such a file sets for all scripts of its folder is kept in `left_out` where the stack has no word for it.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from synfin.engine.config import MILLISECOND, SECOND
from synfin.engine.connection import Connection
from synfin.engine.errors import UsageError
from synfin.engine.listener import Listener
from synfin.packetdrill.bench import Bench
from synfin.packetdrill.files import Skip
from synfin.packetdrill.profiles import load_profile
from synfin.packetdrill.sourced import DEEPEST, MOST, Unreadable, read_sourced, worked_out
from synfin.packetdrill.sysctls import FIELDS, Changes, changes_for, known_sysctl

Effect = Callable[["Shell"], bool]

DISCARDED: Final = re.compile(r"(?:\d*|&)>{1,2}&?\s*(?:\d\b|/dev/null)|<\s*/dev/null")
CONTINUED: Final = re.compile(r"\\\n|(?<=&&)[ \t]*\n|(?<=\|\|)[ \t]*\n")
PROC: Final = re.compile(r"/proc/sys/(.*)")
SEPARATORS: Final = (";", "&&", "||", "&")
SYSCTL_FLAGS: Final = re.compile(r"-[eqw]+|--(?:quiet|write|ignore)")
READ_FLAGS: Final = re.compile(r"-[en]+|--(?:values|ignore)")
ASSIGNED: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
READ: Final = re.compile(r"=\$\(\s*(?:/\S*/)?sysctl\s+-n\s+([\w./-]+)\s*\)")
VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
UNKNOWN: Final = "\0"  # the value of a variable that is read from the system
ROUTED: Final = {  # words of `ip route`: the field of TcpConfig; some have one only in a later engine
    "initcwnd": "initial_window_segments", "advmss": "advertised_mss", "initrwnd": "initial_receive_window",
}  # fmt: skip
LASTS: Final = re.compile(r"(\d{1,6})(ms|s)", re.ASCII)
DEFAULTS: Final = re.compile(r"(?:.*/)?defaults\.sh")
RESTORE: Final = re.compile(r"(?:.*/)?sysctl_restore_.*\.sh")
SET_SYSCTLS: Final = re.compile(r"(?:.*/)?set_sysctls\.py")
OPENING: Final = ("if", "for", "while", "until", "case", "select", "function", "{")  # of a block
CLOSING: Final = ("fi", "done", "esac", "}")
PREFIX: Final = "net.ipv4."
STATES: Final = {
    "LISTEN": "LISTEN", "CLOSED": "CLOSED", "ESTABLISHED": "ESTABLISHED", "SYN_SENT": "SYN-SENT", "SYN_RCVD": "SYN-RECEIVED",
    "FIN_WAIT_1": "FIN-WAIT-1", "FIN_WAIT_2": "FIN-WAIT-2", "CLOSE_WAIT": "CLOSE-WAIT", "CLOSING": "CLOSING",
    "LAST_ACK": "LAST-ACK", "TIME_WAIT": "TIME-WAIT",
}  # fmt: skip


def nothing(shell: "Shell") -> bool:
    """A line that means nothing here."""
    return True


def never(shell: "Shell") -> bool:
    """A line that fails."""
    return False


class Step(NamedTuple):
    """One command, or what `sysctl` and `ip` do by it: it runs after `operator`, and `sure` says what it comes to where that
    is known beforehand."""

    operator: str
    effects: list[Effect]
    sure: bool | None


@dataclass(slots=True)
class Reading:
    """Where commands stand: in a line of the script, or `depth` files deep. lenient: one that is not known is left out. blocks:
    so many are open that are left out as a whole."""

    variables: dict[str, str] = field(default_factory=dict)
    lenient: bool = False
    depth: int = 0
    blocks: int = 0


class Shell:
    """What shell lines do to the stack on `bench`; files that they name are looked for in `folder`, None for nowhere."""

    def __init__(self, bench: Bench, lasting: Mapping[str, Any] | None = None, folder: Path | None = None) -> None:
        self._bench = bench
        self._folder = folder
        self._files_left = 0  # how many may still be read for one line
        self.left_out: dict[str, str] = {}  # settings of a defaults.sh that the stack has not: name, as it is told
        self._lasting = dict(lasting or {})  # fields of TcpConfig that no line changes
        self.routes: Changes = {}  # what routes say, which no defaults take back

    def check(self, text: str) -> None:
        """Raises Skip when `text` has a line that is not known."""
        self._read_line(text)

    def run(self, text: str) -> bool:
        """Do what `text` says; returns whether the last command that runs succeeds, as an exit status of 0 would tell. Raises
        Skip."""
        return self.follow(self._read_line(text))

    def follow(self, steps: list[Step]) -> bool:
        """Run `steps`; returns as `run`."""
        status = True
        for operator, effects, _ in steps:
            if (operator == "&&" and not status) or (operator == "||" and status):
                continue
            answers = [effect(self) for effect in effects]  # all of them, whatever the first says
            status = all(answers)
        return status

    # --- reading

    def _read_line(self, text: str) -> list[Step]:
        self._files_left = MOST
        return self._steps(text, Reading())

    def _steps(self, text: str, reading: Reading) -> list[Step]:
        """The commands in `text` that may run."""
        found: list[Step] = []
        for line in CONTINUED.sub(" ", text).split("\n"):
            try:
                parts = self._parts(line, reading)
            except Skip as skip:
                found.append(self._unknown(skip, reading))
                continue
            operator, sure = ";", None
            command: list[str] = []
            for word in (*parts, ";"):
                if word not in SEPARATORS:
                    command.append(word)
                    continue
                if command and reading.depth and not reading.blocks and command[0] in ("exit", "return"):
                    ends = command[1:] in ([], ["0"])
                    return [*found, Step(operator, [nothing if ends else never], ends)]
                if command and not (operator == "&&" and sure is False) and not (operator == "||" and sure is True):
                    effects, own = self._one(command, reading)
                    found.append(Step(operator, effects, own))
                    sure = own if operator in (";", "&") or sure is not None else None
                operator, command = word, []
        return found

    def _parts(self, line: str, reading: Reading) -> list[str]:
        """The words of a line; raises Skip."""
        words = READ.sub(self._read, DISCARDED.sub("", worked_out(line, reading.variables)))
        try:
            lexer = shlex.shlex(words, posix=True, punctuation_chars=";&|>")
            lexer.whitespace_split = True
            return list(lexer)
        except ValueError:
            raise Skip(line.strip(), unmapped=True) from None

    def _unknown(self, skip: Skip, reading: Reading) -> Step:
        """What to do about a line that is not known."""
        if not reading.lenient:
            raise skip
        return Step(";", [nothing if reading.blocks else leaving_out(skip.what, skip.what)], True)

    def _one(self, command: list[str], reading: Reading) -> tuple[list[Effect], bool | None]:
        """As `_command`, leaving out what is not known where that may be."""
        if not reading.lenient:
            return self._command(command, reading)
        opens = command[0] in OPENING or command[0].endswith("()")
        inside = reading.blocks
        reading.blocks = max(0, inside + opens - (command[0] in CLOSING))
        if inside:
            return [nothing], True
        told = " ".join(command)
        try:
            effects, own = self._command(command, reading)
        except Skip as skip:
            return [leaving_out(skip.what, skip.what)], True
        return [leniently(effect, told, told) for effect in effects], own

    def _read(self, found: "re.Match[str]") -> str:
        """`=$(sysctl -n NAME)` as an assignment; raises Skip for a name that is not known."""
        self._known(found.group(1), ["sysctl", "-n", found.group(1)])
        return f"='{UNKNOWN}'"

    def _command(self, words: list[str], reading: Reading) -> tuple[list[Effect], bool | None]:
        """What one command does, and what it comes to: None where only the play tells."""
        exported, variables = words[0] == "export", reading.variables
        given = [found for word in words[exported:] if (found := ASSIGNED.fullmatch(word))]
        if len(given) == len(words) - exported:
            before = dict(variables) if exported else variables  # the arguments of export are read before any is set
            for each in given:
                variables[each.group(1)] = self._expanded(each.group(2), before, words)
            return [nothing], True
        if words == ["false"]:
            return [never], False
        restores = any(RESTORE.fullmatch(word) for word in words)
        plain = words if restores else [self._expanded(word, variables, words) for word in words]
        effects = self._effect(plain, reading)
        return effects, None if plain[0] == "sockstat" or isinstance(effects[-1], Sourced) else True

    def _expanded(self, word: str, variables: dict[str, str], words: list[str]) -> str:
        """`word` with its variables; raises Skip for one that nobody set."""

        def value(found: "re.Match[str]") -> str:
            known = variables.get(found.group(1) or found.group(2), UNKNOWN)
            if known == UNKNOWN:
                raise unmapped(words)
            return known

        expanded = VARIABLE.sub(value, word)
        if "$" in expanded:
            raise unmapped(words)
        return expanded

    def _known(self, name: str, words: list[str]) -> None:
        """Raises Skip when `name` is no sysctl that is known."""
        if not known_sysctl(name):
            raise unmapped(words)

    def _effect(self, words: list[str], reading: Reading) -> list[Effect]:
        name, rest = words[0], words[1:]
        if "|" in words and name != "sockstat":
            raise unmapped(words)
        if name == "sudo" and rest:
            return self._effect(rest, reading)
        sourced = name in (".", "source")
        as_shell = bool((sourced or name in ("sh", "bash")) and rest)
        if as_shell:
            name, rest = rest[0], rest[1:]
        if name.rsplit("/", 1)[-1] == "sysctl" and not any("=" in word for word in rest):
            return self._reading(rest, words)
        if name.rsplit("/", 1)[-1] == "sysctl":
            return self._sysctls([word for word in rest if not SYSCTL_FLAGS.fullmatch(word)], words, reading)
        if SET_SYSCTLS.fullmatch(name) or (name.startswith("python") and rest and SET_SYSCTLS.fullmatch(rest[0])):
            return self._sysctls([word for word in rest if "=" in word], words, reading)
        if name == "echo" and ">" in rest and PROC.fullmatch(rest[-1]):
            return self._sysctls([f"{rest[-1]}={' '.join(rest[: rest.index('>')])}"], words, reading)
        if DEFAULTS.fullmatch(name):
            inner = Reading(reading.variables if sourced else {}, True, reading.depth + 1)
            return [defaults, *self._file(name, words, inner, as_shell=True), routed]
        if name in ("true", ":") or RESTORE.fullmatch(name) or self._idle(name, rest):
            return [nothing]
        if name == "ip":
            return self._ip(rest, words)
        if name == "sockstat":
            return [self._question(words)]
        if name == "tcpdrop":
            return [drop]
        if as_shell or "/" in name:  # without a slash a shell looks in PATH
            inner = Reading(reading.variables if sourced else {}, reading.lenient, reading.depth + 1)
            found = self._file(name, words, inner, as_shell=as_shell)
            if found:
                return found
        raise unmapped(words)

    def _file(self, name: str, words: list[str], reading: Reading, *, as_shell: bool) -> list[Effect]:
        """What the shell script `name` does; nothing when there is none."""
        try:
            text = read_sourced(self._folder, name, named_as_shell=as_shell)
        except Unreadable:
            raise unmapped(words) from None
        if text is None:
            return []
        self._files_left -= 1
        if reading.depth > DEEPEST or self._files_left < 0:
            raise unmapped(words)
        return [Sourced(self._steps(text, reading))]

    def _reading(self, rest: list[str], words: list[str]) -> list[Effect]:
        """`sysctl -n NAME` prints a value that nobody reads."""
        names = [word for word in rest if not READ_FLAGS.fullmatch(word)]
        for name in names:
            self._known(name, words)
        if not names:
            raise unmapped(words)
        return [nothing]

    def _sysctls(self, settings: list[str], words: list[str], reading: Reading) -> list[Effect]:
        found: list[Effect] = []
        for each in settings:
            name, equals, value = each.partition("=")
            path = PROC.fullmatch(name.strip())
            name = (path.group(1) if path else name.strip()).replace("/", ".")
            if not equals:
                raise unmapped(words)
            effect = sysctl(name, value.strip(), words)
            if reading.lenient:
                effect = leniently(effect, name, f"{name.removeprefix(PREFIX)}={value.strip()}")
            else:
                changes_for(name, value.strip(), self._bench.stack.config)  # one that is not known is told of before the play
            found.append(effect)
        if not found:
            raise unmapped(words)
        return found

    def _idle(self, name: str, rest: list[str]) -> bool:
        """Whether a line changes nothing that synfin has: offloads switched off, a plain queue, metrics forgotten,
        words printed."""
        if name in ("echo", "printf", "set"):
            return ">" not in rest and ">>" not in rest and (name != "set" or all(word[0] in "-+" for word in rest if word))
        if name == "ethtool":
            return bool({"-K", "--offload", "--features"} & set(rest)) and "on" not in rest
        if name == "tc":
            return rest[:1] == ["qdisc"] and "netem" not in rest and bool({"pfifo", "bfifo", "del", "show"} & set(rest))
        return name == "ip" and "tcp_metrics" in rest

    def _ip(self, rest: list[str], words: list[str]) -> list[Effect]:
        """`ip route ... mtu N`, `initcwnd N`, `advmss N`, `initrwnd N`, `rto_min TIME`; `ip link set ... mtu N`."""
        found: list[Effect] = []
        for word, value in pairwise(each for each in rest if each != "lock"):
            if word in ("quickack", "congctl", "features", "cwnd", "window", "rtt", "rttvar", "ssthresh", "reordering"):
                raise unmapped(words)
            if word in ("del", "delete", "flush"):
                raise unmapped(words)
            if word == "mtu" and not (value.isdecimal() and 576 <= int(value) <= 65_535):
                raise unmapped(words)
            if word == "mtu":
                found.append(mtu(int(value)))
            elif word in ROUTED or word == "rto_min":
                found.append(self._routed(word, value, words))
        if not found or not {"route", "link"} & set(rest):
            raise unmapped(words)
        return found

    def _routed(self, word: str, value: str, words: list[str]) -> Effect:
        """What a route says of connections over it."""
        if word == "rto_min":
            time = LASTS.fullmatch(value)
            if time is None:
                raise unmapped(words)
            changes: Changes = {"rto_min": int(time.group(1)) * (SECOND if time.group(2) == "s" else MILLISECOND)}
        else:
            if ROUTED[word] not in FIELDS or not value.isdecimal() or not value.strip("0") or len(value) > 9:
                raise unmapped(words)
            changes = {ROUTED[word]: int(value)}
        configure = configuring(changes, words)

        def effect(shell: "Shell") -> bool:
            done = configure(shell)
            shell.routes.update(changes)
            return done

        return effect

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
        done = configuring(changes_for(name, value, shell.bench.stack.config), words)(shell)
        shell.left_out.pop(name, None)
        return done

    return effect


def leaving_out(name: str, told: str) -> Effect:
    """A setting that the stack does not have: it is noted, and that is all."""

    def effect(shell: Shell) -> bool:
        shell.left_out[name] = told
        return True

    return effect


def leniently(effect: Effect, name: str, told: str) -> Effect:
    """`effect`, or what leaving_out does where the stack does not have it."""

    def attempt(shell: Shell) -> bool:
        try:
            return effect(shell)
        except Skip:
            return leaving_out(name, told)(shell)

    return attempt


class Sourced:
    """What a file does: its `steps`."""

    __slots__ = ("steps",)

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps

    def __call__(self, shell: Shell) -> bool:
        """See Effect."""
        return shell.follow(self.steps)


def mtu(size: int) -> Effect:
    """Packets of new connections have at most `size` bytes."""

    def effect(shell: Shell) -> bool:
        shell.bench.device.mtu = size
        return True

    return effect


def defaults(shell: Shell) -> bool:
    """A defaults.sh sets what Linux has by default; routes are none of its matters."""
    stack = shell.bench.stack
    stack.config = load_profile("linux").config.replace(fast_path=stack.config.fast_path, mss=stack.config.mss)
    return routed(shell)


def routed(shell: Shell) -> bool:
    """What routes say stands above what is set for all."""
    shell.configure(shell.routes)
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
