"""The liveness check drawn: three messages between two sides, each lost in turn, and both asking at once.

Owns the runs, over a carrier of messages that has a delay and loses what it is told to, and their drawing: lifelines, messages,
and what each side knows once the fate of each message is decided. The check itself is synfin.channels.liveness.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from synfin.channels.liveness import ANSWER, NEVER, QUESTION, SECOND, Learned, Liveness, Message, Outcome
from synfin.scenarios.knowledge import LINE, Side
from synfin.scenarios.study import PICTURE_WIDTH, WIDTH, Part, Shown, Study, said, words
from synfin.trace import svg
from synfin.trace.cells import left, right, wrap
from synfin.trace.cells import width as cells_of
from synfin.trace.recorder import Trace
from synfin.words import Text

NAMES: Final = ("client", "server")
DELAY: Final = 10_000_000  # ns one way


@dataclass(frozen=True, slots=True)
class Step:
    """A message: who sent it when (ns) and knew what then, what it says, when it arrives (None: lost), and what both sides know
    once its fate is decided."""

    number: int
    sender: str
    says: Text
    sent: int
    arrives: int | None
    before: Side
    known: tuple[Side, Side]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A side's patience is over, at `at` (ns): what it concludes, and until when it rests."""

    at: int
    who: str
    outcome: Outcome
    rests_until: int


@dataclass(slots=True)
class Run:
    """A course: who asks at the start, which message is lost (counted from 1; 0: none), and whether the first side asks again
    after the rest."""

    title: Text
    askers: tuple[str, ...] = NAMES[:1]
    lost: int = 0
    again: bool = False
    steps: list[Step | Verdict] = field(default_factory=list)


class _Course:
    """Plays a Run: two sides, and the messages on their way."""

    def __init__(self, run: Run, seed: int) -> None:
        self.run = run
        stream = random.Random(seed)
        self.sides = {name: Liveness(lambda: stream.getrandbits(64)) for name in NAMES}
        self.now = 0
        self.sent = 0
        self.flying: list[tuple[int, int, Side, bytes]] = []  # when it is there, number, sender, data
        self.asked: set[int | None] = set()
        self.again = run.again

    def play(self) -> None:
        for name in self.run.askers:
            self.sides[name].ask(0)
        while True:
            self._take_off()
            when = min([self._deadline(), *(each[0] for each in self.flying)])
            if when == NEVER:
                if not self.again:
                    return
                self.again = False
                when = max(side.rests_until() for side in self.sides.values())
                self.now = when
                self.sides[NAMES[0]].ask(when)
                continue
            self.now = when
            self._land()
            self._lose_patience()

    def _deadline(self) -> int:
        return min(side.next_deadline() for side in self.sides.values())

    def _take_off(self) -> None:
        for name, side in self.sides.items():
            out, side.out = side.out, []
            for data in out:
                self.sent += 1
                self.flying.append((self.now + DELAY, self.sent, self._mind(name), data))

    def _land(self) -> None:
        landing = [each for each in self.flying if each[0] == self.now]
        self.flying = [each for each in self.flying if each[0] != self.now]
        for when, number, sender, data in landing:
            arrives = None if number == self.run.lost else when
            if arrives is not None:
                self.sides[sender.peer].received(data, when)
            known = self._mind(NAMES[0]), self._mind(NAMES[1])
            self.run.steps.append(Step(number, sender.who, says(data, self.asked), when - DELAY, arrives, sender, known))

    def _lose_patience(self) -> None:
        for name, side in self.sides.items():
            side.learned.clear()
            side.handle_timers(self.now)
            for learned in side.learned:
                self._conclude(name, side, learned)

    def _conclude(self, name: str, side: Liveness, learned: Learned) -> None:
        assert learned.outcome is not None, "a timer ends a check"
        self.run.steps.append(Verdict(self.now, name, learned.outcome, side.rests_until()))

    def _mind(self, name: str) -> Side:
        side = self.sides[name]
        return Side(name, NAMES[1 - NAMES.index(name)], side.knowledge.hears, side.knowledge.heard)


def play(run: Run, seed: int) -> None:
    """Play `run`: fill in its steps. `seed` is for the numbers in the messages, which change nothing."""
    _Course(run, seed).play()


def together(steps: Sequence[Step | Verdict]) -> list[tuple[Step | Verdict, ...]]:
    """What is drawn as one: two messages that were sent at the same time, which cross, or a step alone."""
    found: list[tuple[Step | Verdict, ...]] = []
    for step in steps:
        last = found[-1][0] if found and len(found[-1]) == 1 else None
        if isinstance(step, Step) and isinstance(last, Step) and last.sent == step.sent and last.sender != step.sender:
            found[-1] = (last, step)
        else:
            found.append((step,))
    return found


def says(data: bytes, asked: set[int | None]) -> Text:
    """What a message says, as the story has it. `asked` are the numbers of questions so far; an answer may repeat one."""
    message = Message.unpack(data)
    assert message is not None, "both sides speak the protocol"
    if message.kind == QUESTION:
        asked.add(message.asks)
        return ASKS
    if message.kind == ANSWER:
        return REPEATS if message.asks in asked else ANSWERS
    return LAST


ASKS: Final = Text("1+1?", "1+1 等于几？")
REPEATS: Final = Text("2, and 1+1?", "2，那 1+1 呢？")
ANSWERS: Final = Text("2, and 2+2?", "2，那 2+2 呢？")
LAST: Final = Text("4", "是 4")
AFTER: Final = Text("After message {number} ({sender}: {says})", "第 {number} 条消息（{sender}：{says}）之后")
AFTER_LOST: Final = Text(
    "After message {number} ({sender}: {says}), which is lost", "第 {number} 条消息（{sender}：{says}，丢失）之后"
)
AFTER_BOTH: Final = Text(
    "After messages {number} ({sender}: {says}) and {other} ({other_sender}: {other_says}), which cross",
    "第 {number} 条（{sender}：{says}）与第 {other} 条消息（{other_sender}：{other_says}）交错，之后",
)
LOST: Final = Text("lost", "丢失")
SECONDS: Final = Text("seconds", "秒")
CONCLUSIONS: Final = {
    Outcome.DOWN: Text(
        "At {at:.3f} s {who} has had no answer for 5 s: it takes the path to be down, and rests until {until:.3f} s.",
        "{at:.3f} 秒：{who} 等了 5 秒没有回答，认定线路不通，休息到 {until:.3f} 秒。",
    ),
    Outcome.UNCONFIRMED: Text(
        "At {at:.3f} s {who} has had no third message for 5 s: not confirmed that it is heard, which proves nothing; it rests"
        " until {until:.3f} s.",
        "{at:.3f} 秒：{who} 等了 5 秒没有等到第三条消息：未能确认自己被听到，这不证明什么；休息到 {until:.3f} 秒。",
    ),
}
BRIEFLY: Final = {
    (False, False): Text("knows nothing", "什么都不知道"),
    (True, False): Text("hears", "能听到对方"),
    (True, True): Text("hears and is heard", "能听到，也被听到"),
}
BRIEF_ENDS: Final = {
    Outcome.DOWN: Text("no answer: path down; rests until {until:.3f} s", "无回答：线路不通；休息到 {until:.3f} 秒"),
    Outcome.UNCONFIRMED: Text(
        "not confirmed that it is heard; rests until {until:.3f} s", "未确认被听到；休息到 {until:.3f} 秒"
    ),
}
DESCRIPTION: Final = Text("Two lifelines and the messages between them", "两条生命线与其间的消息")

LANE: Final = 30  # columns between the lifelines
INSIDE: Final = LANE - 2
X: Final = (250.0, PICTURE_WIDTH - 250.0)  # the lifelines, pixels
HEIGHT: Final = 62.0  # of a message
SLOPE: Final = 16.0
STEEP: Final = 34.0  # of messages that cross
ENDS: Final = 60.0  # height of a conclusion
ROOM: Final = 170.0  # pixels beside a lifeline


@dataclass(frozen=True, slots=True)
class Check(Part):
    """The drawing of one run."""

    run: Run

    def text(self, lang: str, *, color: bool = False, ascii_only: bool = False) -> str:
        seconds = SECONDS.say(lang)
        lanes = " " * (LANE - 8)
        lines = [self.run.title.say(lang), "", f"{right(seconds, 10)}  {NAMES[0]}{lanes}{NAMES[1]}  {seconds}"]
        for each in together(self.run.steps):
            match each:
                case (Step() as first, Step() as second):
                    lines += ["", *self._crossed(first, second, lang), *_told(known_of_both(first, second, lang))]
                case (Step() as step,):
                    lines += ["", self._row(step, lang), *_told(known(step, lang))]
                case (Verdict() as verdict,):
                    lines += ["", *_told(conclusion(verdict, lang))]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _crossed(first: Step, second: Step, lang: str) -> list[str]:
        """Two messages that cross: both depart, then both arrive."""
        ours, theirs = (first, second) if first.sender == NAMES[0] else (second, first)
        there, back = f"-- {ours.says.say(lang)} ...", f"... {theirs.says.say(lang)} --"
        ends = ("X" if theirs.arrives is None else "<", "X" if ours.arrives is None else ">")
        times = ["" if step.arrives is None else at(step.arrives) for step in (theirs, ours)]
        arrivals = left(f"{ends[0]}- ...", INSIDE // 2) + right(f"... -{ends[1]}", INSIDE // 2)
        return [
            f"{at(ours.sent):>10}    |{left(there, INSIDE)}|",
            f"{'':>10}    |{right(back, INSIDE)}|   {at(theirs.sent)}",
            f"{times[0]:>10}    |{arrivals}|   {times[1]}".rstrip(),
        ]

    @staticmethod
    def _row(step: Step, lang: str) -> str:
        told = f" {step.says.say(lang)} "
        dashes = max(LANE - 8 - cells_of(told), 0)
        lane = "-" * (dashes // 2) + told + "-" * (dashes - dashes // 2)
        sent, arrives = at(step.sent), "" if step.arrives is None else at(step.arrives)
        if step.sender == NAMES[0]:
            shaft = f"--{lane}--->" if arrives else f"--{lane}-X  "
            return f"{sent:>10}    |{shaft}|   {arrives}".rstrip()
        shaft = f"<---{lane}--" if arrives else f"  X-{lane}--"
        return f"{arrives:>10}    |{shaft}|   {sent}"

    def svg(self, lang: str) -> str:
        body = [svg.words(24, 26, self.run.title.say(lang), 14, font_weight="bold")]
        y = 56.0
        body += [svg.words(x, y, name, 13, anchor="middle", font_weight="bold") for x, name in zip(X, NAMES, strict=True)]
        top = y = y + 12
        for each in together(self.run.steps):
            match each:
                case (Step() as first, Step() as second):
                    body += self._crossing(first, second, y, lang)
                    y += HEIGHT + STEEP - SLOPE
                case (Step() as step,):
                    body += self._message(step, y, lang)
                    y += HEIGHT
                case (Verdict() as verdict,):
                    body += self._end(verdict, y, lang)
                    y += ENDS
        lines = [svg.line(x, top, x, y, stroke=svg.PALE, stroke_width=4) for x in X]
        title = self.run.title.say(lang)
        return svg.document(PICTURE_WIDTH, y + 14, title, DESCRIPTION.say(lang), [*lines, *body])

    @staticmethod
    def _message(step: Step, y: float, lang: str) -> list[str]:
        y += 12
        found = _arrow(step, y, SLOPE, 0.5, lang)
        times = (step.sent, step.arrives) if step.sender == NAMES[0] else (step.arrives, step.sent)
        for index, time in enumerate(times):
            own = step.sender == NAMES[index]
            mind = step.before if own else step.known[index]
            found += _mind(index, y + (0 if own else SLOPE), time, mind, lang)
        return found

    @staticmethod
    def _crossing(first: Step, second: Step, y: float, lang: str) -> list[str]:
        """Two messages that cross: each side's sending, and below it what has come."""
        y += 12
        found = [*_arrow(first, y, STEEP, 0.25, lang), *_arrow(second, y, STEEP, 0.25, lang)]
        for index, name in enumerate(NAMES):
            own, other = (first, second) if first.sender == name else (second, first)
            found += _mind(index, y, own.sent, own.before, lang)
            found += _mind(index, y + STEEP, other.arrives, second.known[index], lang)
        return found

    @staticmethod
    def _end(verdict: Verdict, y: float, lang: str) -> list[str]:
        index = NAMES.index(verdict.who)
        x, anchor, out = ((X[0] - 12, "end", -1), (X[1] + 12, "start", 1))[index]
        y += 14
        found = [svg.words(x, y, at(verdict.at), 11, anchor=anchor, fill=svg.GREY)]
        told = BRIEF_ENDS[verdict.outcome].say(lang, until=verdict.rests_until / SECOND)
        for row, line in enumerate(svg.wrap_pixels(told, 12, ROOM)):
            found.append(svg.words(x + out * 48, y + row * 15, line, 12, anchor=anchor, fill=svg.RED))
        found.append(svg.tag("circle", cx=X[index], cy=y - 4, r=5, fill=svg.RED))
        return found

    def to_json(self, lang: str) -> Iterator[dict[str, Any]]:
        about = self.run.title.say(lang)
        for step in self.run.steps:
            if isinstance(step, Step):
                arrives = None if step.arrives is None else step.arrives / SECOND
                yield {
                    "kind": "message", "about": about, "number": step.number, "sender": step.sender,
                    "says": step.says.say(lang), "sent": step.sent / SECOND, "arrives": arrives, "text": known(step, lang),
                }  # fmt: skip
            else:
                yield {"kind": "conclusion", "about": about, "at": step.at / SECOND, "text": conclusion(step, lang)}


def _arrow(step: Step, y: float, slope: float, along: float, lang: str) -> list[str]:
    """A message from the height `y` down by `slope`, its words over the part `along` of its way."""
    begin, end = (X[0] + 4, X[1] - 4) if step.sender == NAMES[0] else (X[1] - 4, X[0] + 4)
    reach = 1.0 if step.arrives is not None else 0.8
    tip_x, tip_y = begin + (end - begin) * reach, y + slope * reach
    color = svg.BLUE if step.arrives is not None else svg.RED
    found = [
        svg.line(begin, y, tip_x, tip_y, stroke=color, stroke_width=1.8),
        svg.words(begin + (end - begin) * along, y + slope * along - 9, step.says.say(lang), 13, anchor="middle"),
    ]
    back = 9 if end < begin else -9
    if step.arrives is None:
        for down in (5, -5):
            found.append(svg.line(tip_x - 5, tip_y - down, tip_x + 5, tip_y + down, stroke=color, stroke_width=2))
        found.append(svg.words(tip_x - back, tip_y + 16, LOST.say(lang), 11, anchor="middle", fill=color))
    else:
        points = f"{tip_x:.1f},{tip_y:.1f} {tip_x + back:.1f},{tip_y - 4:.1f} {tip_x + back:.1f},{tip_y + 4:.1f}"
        found.append(svg.tag("polygon", points=points, fill=color))
    return found


def _mind(index: int, y: float, time: int | None, mind: Side, lang: str) -> list[str]:
    """Beside a lifeline: when something was sent or came (None: it did not), and what the side knows then, briefly."""
    x, anchor, out = ((X[0] - 12, "end", -1), (X[1] + 12, "start", 1))[index]
    found = [] if time is None else [svg.words(x, y + 4, at(time), 11, anchor=anchor, fill=svg.GREY)]
    brief = BRIEFLY[mind.hears, mind.heard].say(lang)
    return [*found, svg.words(x + out * 48, y + 4, brief, 12, anchor=anchor)]


def _told(sentence: str) -> list[str]:
    """A sentence below a drawing of text."""
    return [f"  {line}" for line in wrap(sentence, WIDTH - 2)]


def at(time: int) -> str:
    """Seconds with three decimals."""
    return f"{time / SECOND:.3f}"


def known(step: Step, lang: str) -> str:
    """What both sides know after a message, in words."""
    after = (AFTER if step.arrives is not None else AFTER_LOST).say(
        lang, number=step.number, sender=step.sender, says=step.says.say(lang)
    )
    return LINE.say(lang, after=after, first=step.known[0].say(lang), second=step.known[1].say(lang))


def known_of_both(first: Step, second: Step, lang: str) -> str:
    """What both sides know after two messages that cross, in words."""
    after = AFTER_BOTH.say(
        lang, number=first.number, sender=first.sender, says=first.says.say(lang),
        other=second.number, other_sender=second.sender, other_says=second.says.say(lang),
    )  # fmt: skip
    return LINE.say(lang, after=after, first=second.known[0].say(lang), second=second.known[1].say(lang))


def conclusion(verdict: Verdict, lang: str) -> str:
    """What a side concludes when its patience is over, in words."""
    facts = {"at": verdict.at / SECOND, "who": verdict.who, "until": verdict.rests_until / SECOND}
    return CONCLUSIONS[verdict.outcome].say(lang, **facts)


TITLES: Final = (
    Text("Nothing is lost", "什么都没有丢"),
    Text("The question is lost; the asker asks again after its rest", "问题丢失；提问方休息之后再问"),
    Text("The answer is lost", "回答丢失"),
    Text("The third message is lost", "第三条消息丢失"),
    Text("Both ask at once", "双方同时提问"),
)
INTRODUCTION: Final = Text(
    "Two sides find out whether each hears the other, in three messages: whoever doubts asks, the other answers and asks"
    " back, the asker answers. It is why TCP opens with three segments. The messages here are datagrams, {delay:g} ms one way.",
    "双方用三条消息查明彼此能否听到：谁有疑问谁先问，对方回答并反问，提问方再答。TCP 用三个报文段打开连接，道理与此相同。"
    "这里的消息是数据报，单向时延 {delay:g} 毫秒。",
)
MORAL: Final = Text(
    "Which message was lost cannot be known: question or answer, the asker says the same. The answerer"
    " that hears no third message may have been heard all the same, and says only that this is not confirmed.",
    "丢的是哪一条，无从知道：问题丢失也好，回答丢失也好，提问方说的都一样。没有等到第三条消息的一方，也许其实已被听到，"
    "所以它只说未能确认。",
)


def runs(seed: int) -> list[Run]:
    """All courses, played."""
    found = [
        Run(TITLES[0]), Run(TITLES[1], lost=1, again=True), Run(TITLES[2], lost=2), Run(TITLES[3], lost=3),
        Run(TITLES[4], askers=NAMES),
    ]  # fmt: skip
    for run in found:
        play(run, seed)
    return found


def liveness(seed: int) -> Shown:
    """Play all courses."""
    parts = (words(said(INTRODUCTION, delay=DELAY / 1e6)), *map(Check, runs(seed)), words(said(MORAL)))
    return Shown(parts, Trace())


CHECKING: Final = (
    Study(
        "liveness",
        Text("The check in three messages, each of them lost in turn", "三条消息的互查，以及依次丢失每一条的情形"),
        liveness,
    ),
)
