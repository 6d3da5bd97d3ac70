"""Programs as native coroutines in virtual time, without asyncio: tasks, and what they wait for.

Owns the scheduler: whoever is woken first runs first, each at an event of the clock of its own. A program waits by awaiting
a Wait; the simulator's sockets (program.py) are made of nothing else. Knows nothing of hosts or TCP.
"""

from collections.abc import Coroutine, Generator
from typing import Any

from synfin.engine.config import NEVER, SECOND
from synfin.engine.errors import UsageError
from synfin.sim.clock import Clock, Timer
from synfin.sockets.blocking import Waits


class Deadlock(Exception):
    """Programs wait, and nothing is left to happen that could wake them; the message says who waits for what."""


class Ended(Exception):
    """A program was ended from outside; nobody's mistake, so `World.run` does not raise it."""


class HostCrashed(Ended):
    """The host whose socket or sleep a program waited for has crashed."""


class Wait:
    """One wait of one program: until `wake`, or until the time `until` (nanoseconds), when TimeoutError is raised.

    `what` names it for people; `waiters` is where it stands while it lasts, oldest first, for who does the waking (a dict
    without values, because a list of ten thousand sleepers would be searched for each of them).
    """

    __slots__ = ("_task", "_timer", "quiet", "until", "waiters", "what")

    def __init__(self, waiters: "dict[Wait, None]", what: str, until: int = NEVER, quiet: bool = False) -> None:
        self.what = what
        self.until = until
        self.quiet = quiet  # running out of time is no error: a sleep
        self.waiters = waiters
        self._task: Task | None = None
        self._timer: Timer | None = None

    def __await__(self) -> "Generator[Wait, None, None]":
        yield self

    def begin(self, task: "Task", clock: Clock) -> None:
        """`task` waits from now on."""
        self._task = task
        self.waiters[self] = None
        if self.until != NEVER:
            self._timer = clock.call_at(self.until, self._expire)

    def wake(self, error: BaseException | None = None) -> None:
        """Let the program go on, with `error` raised in it when there is one."""
        task = self._task
        if task is not None:
            self.forget()
            task.resume(error)

    def forget(self) -> None:
        """The program no longer waits."""
        self._task = None
        del self.waiters[self]
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self.wake(None if self.quiet else TimeoutError("timed out"))


def wake_all(waiters: dict[Wait, None], error: BaseException | None = None) -> None:
    """Wake everyone in `waiters`, in the order in which they came."""
    for wait in list(waiters):
        wait.wake(error)


class Task:
    """A running program; made by World.spawn. `await task` waits for its end and gives its result."""

    def __init__(self, program: Coroutine[Any, Any, Any], name: str, background: bool, scheduler: "Scheduler") -> None:
        self.name = name
        self.background = background
        self.done = False
        self.error: BaseException | None = None
        self.waits: Wait | None = None
        self.among: dict[Task, None] | None = None  # a host's programs, which it leaves when it ends
        self.waiters: dict[Wait, None] = {}
        self._program = program
        self._scheduler = scheduler
        self._result: Any = None
        self._running = False
        self._cancelled: Ended | None = None

    def result(self) -> Any:
        """What the program returned; raises what it raised, or UsageError while it runs."""
        if not self.done:
            raise UsageError(f"the program {self.name!r} has not ended")
        if self.error is not None:
            raise self.error
        return self._result

    def __await__(self) -> Generator[Wait, None, Any]:
        if not self.done:
            yield Wait(self.waiters, f"the end of {self.name!r}")
        return self.result()

    def cancel(self, why: Ended | None = None) -> None:
        """End the program where it waits (GeneratorExit is raised there); `why` is what `result` raises then.

        A program that cancels itself ends at its next wait.
        """
        if self.done:
            return
        if self._running:
            self._cancelled = why or Ended(f"{self.name!r} was cancelled")
            return
        if self.waits is not None:
            self.waits.forget()
        self._program.close()
        self._end(None, why or Ended(f"{self.name!r} was cancelled"))

    def resume(self, error: BaseException | None) -> None:
        """Go on at this very time, after what is to happen now already."""
        clock = self._scheduler.clock
        clock.schedule(clock.now, self._step, (error,))

    def _step(self, error: BaseException | None) -> None:
        if self.done:
            return
        self.waits = None
        self._running = True
        try:
            wait = self._program.send(None) if error is None else self._program.throw(error)
        except StopIteration as stop:
            self._end(stop.value, None)
        except Exception as raised:
            self._end(None, raised)
        else:
            self._wait_for(wait)
        finally:
            self._running = False

    def _wait_for(self, wait: Any) -> None:
        stray = f"{self.name!r} awaits {wait!r}: only synfin.sim's own calls can be awaited"
        error = self._cancelled or (None if isinstance(wait, Wait) else UsageError(stray))
        if error is not None:
            self._program.close()
            self._end(None, error)
            return
        self.waits = wait
        wait.begin(self, self._scheduler.clock)

    def _end(self, result: Any, error: BaseException | None) -> None:
        self.done = True
        self._result, self.error = result, error
        if self.among is not None:
            self.among.pop(self, None)
        awaited = bool(self.waiters)
        wake_all(self.waiters)
        self._scheduler.ended(self, awaited)


class Scheduler:
    """All programs of one world."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.threads: Waits | None = None  # how blocking calls wait, while threads of the world run
        self._tasks: dict[Task, None] = {}  # in the order of their start
        self._failed: list[Task] = []
        self._foreground = 0

    def spawn(self, program: Coroutine[Any, Any, Any], name: str, background: bool) -> Task:
        """Start a program."""
        if not isinstance(program, Coroutine):
            raise UsageError(f"spawn takes a coroutine (call the async function), not {program!r}")
        task = Task(program, name or getattr(program, "__name__", "program"), background, self)
        self._tasks[task] = None
        self._foreground += not background
        task.resume(None)
        return task

    def ended(self, task: Task, awaited: bool) -> None:
        """A task is done; one that failed and was not awaited stops the run."""
        del self._tasks[task]
        self._foreground -= not task.background
        if task.error is not None and not awaited and not isinstance(task.error, Ended):
            self._failed.append(task)
            self.clock.stop()
        elif not self._foreground:
            self.clock.stop()

    def run(self, until: int) -> None:
        """Run to `until`, whether or not programs have ended; raises what one raised."""
        self._raise()
        while True:
            self.clock.run(until)
            self._raise()
            if self.clock.next_when() > until or self.clock.next_when() == NEVER:
                break
        if until != NEVER and self.clock.now < until:
            self.clock.advance(until)

    def run_to_the_end(self) -> None:
        """Run until every program in the foreground has ended; without programs, until nothing is left to happen."""
        self._raise()
        if not self._tasks:
            self.run(NEVER)
        while self._foreground:
            self.clock.run()
            self._raise()
            if self._foreground and self.clock.next_when() == NEVER:
                raise Deadlock(self._who_waits())

    def _raise(self) -> None:
        if self._failed:
            task = self._failed.pop(0)
            assert task.error is not None
            task.error.add_note(f"raised by the program {task.name!r} at {self.clock.now / SECOND:.9f} s of virtual time")
            raise task.error

    def _who_waits(self) -> str:
        waits = [f"{task.name!r} for {task.waits.what}" for task in self._tasks if task.waits is not None]
        return "nothing is left to happen, and these programs wait: " + "; ".join(waits)

    def close(self) -> None:
        """End every program where it stands."""
        for task in list(self._tasks):
            task.cancel()
