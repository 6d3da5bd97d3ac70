"""What came of scripts, in words: a failure with both lines side by side, a table by folder, JSON, JUnit.

Owns every sentence. Knows how nothing was played.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final
from xml.etree import ElementTree

from synfin.packetdrill.run import (
    DIVERGES,
    ERROR,
    FAIL,
    FEATURE,
    PARSE,
    PASS,
    SKIP,
    UNEXPECTED,
    UNMAPPED,
    VERDICTS,
    XFAIL,
    Outcome,
)  # fmt: skip
from synfin.trace.cells import left, right, width
from synfin.words import Text

EXPECTED: Final = Text("expected", "期望")
ACTUAL: Final = Text("actual", "实际")
TELLS: Final = Text("it tells", "给出")
NOTHING: Final = Text("(nothing leaves)", "（没有报文发出）")
DIFFERS: Final = Text("differs", "不同之处")
AT: Final = Text("at {seconds} s", "时间 {seconds} 秒")
DUE: Final = Text("({earliest} to {latest} s)", "（{earliest} 至 {latest} 秒）")
END: Final = Text("(the end of the script)", "（脚本到此结束）")
PASSES: Final = Text("passes, though the list says that it fails: {reason}", "脚本通过，但名单说它会失败：{reason}")
FAST_PATH: Final = Text(
    "what leaves depends on the fast path: packet {number} differs", "发出的内容取决于快速路径：第 {number} 个报文不同"
)
AND: Final = Text(", ", "、")
RELAXED: Final = Text("Relaxed: {what}: {count} of {total} plays", "已放宽：{what}：共 {total} 次中的 {count} 次")
LEFT_OUT: Final = Text("settings of defaults.sh left out: {count}", "略去的 defaults.sh 设置：{count} 项")
LEFT_OUT_ALL: Final = Text(
    "Settings of defaults.sh that the stack does not have: {count}: {names}",
    "defaults.sh 中协议栈没有的设置 {count} 项：{names}",
)
IN_PLAYS: Final = Text("({count} of {total} plays)", "（共 {total} 次中的 {count} 次）")
TOTAL: Final = Text("total", "合计")
FOLDER: Final = Text("folder", "目录")
SPEED: Final = Text("{count} plays in {seconds} s", "{seconds} 秒内播放 {count} 次")

WHY: Final[dict[str, Text]] = {
    "flags": Text("flags", "标志"),
    "sequence number": Text("sequence number", "序列号"),
    "length": Text("length", "长度"),
    "ack": Text("acknowledgment number", "确认号"),
    "window": Text("window", "窗口"),
    "urgent pointer": Text("urgent pointer", "紧急指针"),
    "IP header": Text("IP header", "IP 首部"),
    "ports": Text("ports", "端口"),
    "options": Text("which options, or their order", "选项或其顺序"),
    "mss": Text("MSS", "MSS（最大段长）"),
    "wscale": Text("window scale", "窗口扩大因子"),
    "sack": Text("SACK edges", "SACK 边界"),
    "TS val": Text("timestamp value", "时间戳值"),
    "TS ecr": Text("timestamp echo", "时间戳回显"),
    "checksum": Text("checksum", "校验和"),
    "payload": Text("payload", "数据内容"),
    "time": Text("time", "时间"),
    "result": Text("result", "返回值"),
    "errno": Text("errno", "错误码 errno"),
    "what it tells": Text("what the call tells", "调用给出的内容"),
    "assertion": Text("assertion", "断言"),
    "command": Text("the command's answer", "命令的结果"),
    "ICMP message": Text("ICMP message", "ICMP 报文"),
    "no TCP segment": Text("this is no TCP segment", "这不是 TCP 报文段"),
    "nothing leaves": Text("no packet leaves in time", "没有报文及时发出"),
    "a packet after the last that is expected": Text("a packet after the last that is expected", "最后一个期望之后还有报文"),
}

# Where there is no line of the language for what was there, its words: as they stand in an outcome, and as they are shown.
SAID: Final = (
    (re.compile(r"the command fails"), Text("the command fails", "命令失败")),
    (re.compile(r"the assertion does not hold"), Text("the assertion does not hold", "断言不成立")),
    (re.compile(r"(?P<call>.*)\.\.\. \(it waits\)", re.DOTALL), Text("{call}... (it waits)", "{call}...（仍在等待）")),
    (re.compile(r"more than (?P<count>\d+) packets"), Text("more than {count} packets", "超过 {count} 个报文")),
    (re.compile(r"more than (?P<count>\d+) MB"), Text("more than {count} MB", "超过 {count} MB")),
    (re.compile(r"read other bytes than were sent"), Text("other bytes than were sent", "与所发送的内容不同的字节")),
    (re.compile(r"read (?P<data>b['\"].*)"), Text("the bytes {data}", "字节 {data}")),
    (re.compile(r"length \[(?P<count>\d+)\]"), Text("a length of {count} bytes", "长度 {count} 字节")),
    (re.compile(r"descriptor (?P<number>\d+) is open"), Text("descriptor {number} is open", "描述符 {number} 已打开")),
    (re.compile(r"no control message"), Text("no control message", "没有控制消息")),
    (re.compile(r"one control message"), Text("one control message", "一个控制消息")),
    (re.compile(r"(?P<host>\S+) port (?P<port>\d+)"), Text("{host} port {port}", "{host} 端口 {port}")),
    (
        re.compile(r"(?P<count>\d+) steps without time passing"),
        Text("{count} steps without time passing", "走了 {count} 步而时间没有前进"),
    ),
)

KINDS: Final[dict[str, Text]] = {
    FEATURE: Text("feature", "功能"),
    UNMAPPED: Text("unmapped", "未映射"),
    PARSE: Text("parse", "解析"),
}


def seconds(at: int) -> str:
    """ns as seconds, to the microsecond and no longer than needed."""
    return f"{at / 1e9:.6f}".rstrip("0").ljust(5, "0")


def name_of(outcome: Outcome) -> str:
    """The script and what distinguishes its plays."""
    return f"{outcome.file} [{outcome.family}]" if outcome.family else outcome.file


def verdict_of(outcome: Outcome, lang: str) -> str:
    """`SKIP(feature)`."""
    kind = KINDS.get(outcome.kind)
    return f"{outcome.verdict}({kind.say(lang)})" if kind is not None and outcome.verdict in (SKIP, ERROR) else outcome.verdict


def line(outcome: Outcome, lang: str = "en") -> str:
    """One line: verdict, script, and the reason of anything but a PASS."""
    text = f"{verdict_of(outcome, lang)} {name_of(outcome)}"
    if outcome.verdict in (SKIP, ERROR, XFAIL):
        text += f": {outcome.detail}" if not outcome.place else f": {outcome.place}: {outcome.detail}"
    if outcome.left_out:
        text += f"  ({LEFT_OUT.say(lang, count=len(outcome.left_out))})"
    return text


def failure(outcome: Outcome, lang: str = "en", *, ladder: bool = True) -> str:
    """A FAIL at length: where, when, both lines, what differs, and the ladder up to there."""
    lines = [line(outcome, lang)]
    if outcome.kind == UNEXPECTED:
        return "\n".join([*lines, "  " + PASSES.say(lang, reason=outcome.detail), ""])
    if outcome.kind == DIVERGES:
        return "\n".join([*lines, "  " + FAST_PATH.say(lang, number=outcome.detail), ""])
    where = "  " + (outcome.place or outcome.file)
    if outcome.at >= 0:
        where += "  " + AT.say(lang, seconds=seconds(outcome.at))
    labels = [text.say(lang) for text in (EXPECTED, ACTUAL, TELLS, DIFFERS)]
    size = max(map(width, labels))
    expected = outcome.expected or (END.say(lang) if outcome.why else "")
    actual = _said(outcome.actual, lang) if outcome.actual else NOTHING.say(lang)
    why = AND.say(lang).join(WHY[each].say(lang) if each in WHY else _said(each, lang) for each in outcome.why)
    lines.append(where)
    if outcome.due is not None:
        expected += "   " + DUE.say(lang, earliest=seconds(max(outcome.due[0], 0)), latest=seconds(outcome.due[1]))
    for label, text in zip(labels, (expected, actual, _said(outcome.tells, lang), why), strict=True):
        if text:
            lines.append(f"    {left(label, size)}  {text}")
    if outcome.left_out:
        lines.append("    " + _left_out(outcome.left_out, lang))
    if ladder and outcome.ladder:
        lines += ["", *("    " + each if each else "" for each in outcome.ladder.rstrip().split("\n"))]
    return "\n".join([*lines, ""])


def _said(actual: str, lang: str) -> str:
    """What an outcome says was there, in `lang`."""
    for pattern, text in SAID:
        found = pattern.fullmatch(actual)
        if found:
            return text.say(lang, **found.groupdict())
    return actual


def _left_out(names: Sequence[str], lang: str) -> str:
    """What the stack has not of a defaults.sh."""
    return LEFT_OUT_ALL.say(lang, count=len(names), names=AND.say(lang).join(names))


def folders(outcomes: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    """How many of each verdict, by folder."""
    found: dict[str, dict[str, int]] = {}
    for outcome in outcomes:
        folder = outcome.file.rpartition("/")[0] or "."
        counts = found.setdefault(folder, dict.fromkeys(VERDICTS, 0))
        counts[outcome.verdict] += 1
    return found


def table(outcomes: Sequence[Outcome], lang: str = "en") -> str:
    """The summary: a line a folder, a total, and the relaxations that were in force."""
    rows = folders(outcomes)
    total = {verdict: sum(counts[verdict] for counts in rows.values()) for verdict in VERDICTS}
    names = [*rows, TOTAL.say(lang)] if len(rows) > 1 else list(rows)
    size = max(width(name) for name in (*names, FOLDER.say(lang)))
    lines = [left(FOLDER.say(lang), size) + "".join(right(verdict, 8) for verdict in VERDICTS)]
    for name in names:
        counts = rows.get(name, total)
        lines.append(left(name, size) + "".join(right(str(counts[verdict] or "-"), 8) for verdict in VERDICTS))
    loose: dict[str, int] = {}
    for outcome in outcomes:
        for each in outcome.loose:
            loose[each] = loose.get(each, 0) + 1
    for each, count in loose.items():
        lines.append(RELAXED.say(lang, what=f"--loose-{each}", count=count, total=len(outcomes)))
    if any(outcome.left_out for outcome in outcomes):
        unknown = list(dict.fromkeys(each for outcome in outcomes for each in outcome.left_out))
        plays = sum(bool(outcome.left_out) for outcome in outcomes)
        lines.append(f"{_left_out(unknown, lang)} {IN_PLAYS.say(lang, count=plays, total=len(outcomes))}")
    return "\n".join(lines)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """A play for a program; times in seconds."""
    found: dict[str, Any] = {
        "file": outcome.file, "family": outcome.family, "fast_path": outcome.fast_path, "verdict": outcome.verdict,
    }  # fmt: skip
    for name in ("kind", "detail", "place", "expected", "actual", "tells"):
        value = getattr(outcome, name)
        if value:
            found[name] = value
    if outcome.at >= 0:
        found["at"] = outcome.at / 1e9
    if outcome.due is not None:
        found["due"] = [time / 1e9 for time in outcome.due]
    if outcome.why:
        found["why"] = list(outcome.why)
    if outcome.loose:
        found["loose"] = list(outcome.loose)
    if outcome.left_out:
        found["left_out"] = list(outcome.left_out)
    return found


def junit(outcomes: Sequence[Outcome]) -> bytes:
    """The plays as JUnit's XML: a suite a folder; an ERROR is an error, a SKIP and an XFAIL are skipped."""
    rows = folders(outcomes)
    total = _counts("synfin packetdrill", rows.values())
    root = ElementTree.Element("testsuites", {name: value for name, value in total.items() if name != "skipped"})
    for folder, counts in rows.items():
        suite = ElementTree.SubElement(root, "testsuite", _counts(_clean(folder), [counts]))
        for outcome in outcomes:
            if (outcome.file.rpartition("/")[0] or ".") != folder:
                continue
            name = name_of(outcome).rpartition("/")[2]
            case = ElementTree.SubElement(suite, "testcase", {"classname": _clean(folder), "name": _clean(name)})
            if outcome.verdict == FAIL:
                why = {"message": _clean(", ".join(outcome.why) or outcome.kind or outcome.actual), "type": FAIL}
                ElementTree.SubElement(case, "failure", why).text = _clean(failure(outcome))
            elif outcome.verdict == ERROR:
                ElementTree.SubElement(case, "error", {"message": _clean(line(outcome)), "type": verdict_of(outcome, "en")})
            elif outcome.verdict != PASS:
                ElementTree.SubElement(case, "skipped", {"message": _clean(line(outcome))})
            if outcome.left_out:
                ElementTree.SubElement(case, "system-out").text = _clean(_left_out(outcome.left_out, "en"))
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _counts(name: str, rows: Iterable[dict[str, int]]) -> dict[str, str]:
    """The attributes of a suite, or of all of them."""
    listed = list(rows)
    total = {verdict: sum(counts[verdict] for counts in listed) for verdict in VERDICTS}
    return {
        "name": name, "tests": str(sum(total.values())), "failures": str(total[FAIL]), "errors": str(total[ERROR]),
        "skipped": str(total[SKIP] + total[XFAIL]),
    }  # fmt: skip


def _clean(text: str) -> str:
    """`text` without what XML cannot hold."""
    kept = (letter if (letter >= " " and letter not in "\ufffe\uffff") or letter in "\n\t" else "?" for letter in text)
    return "".join(kept).encode("utf-8", "replace").decode()
