"""One kill from its beginning to its judgement."""

import re
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import Popen, TimeoutExpired

import psutil

from tests.chaos import kept
from tests.chaos.clock import Clock
from tests.chaos.drawn import DAMAGES, Kill
from tests.chaos.harms import room
from tests.chaos.harms.damages import damage, without_line
from tests.chaos.harms.strike import strike, surroundings
from tests.chaos.harms.targets import found
from tests.chaos.left import left_behind
from tests.chaos.scenes import SCENES, Scene
from tests.chaos.stage import Stage, staged
from tests.chaos.story import Story
from tests.chaos.tracebacks import place_of_one

LONGEST_S = 900.0  # of a program that takes seconds, on a machine that others keep busy; then it hangs
LOOK_S = 0.01
MOST_RESUMED = 4
MOST_TRIED = 4
DAMAGED_LINE = re.compile(r"line (\d+) is damaged")
KILLED = -9


@dataclass(frozen=True, slots=True)
class Usual:
    """What a scene comes to undisturbed: the CPU time that it takes, and the runs that it measures."""

    cpu_s: float
    runs: frozenset[kept.Key]


def undisturbed(name: str, shared: Path, *, own_room: bool) -> tuple[Usual, Story]:
    """Plays a scene to its end, without harm."""
    scene, story = SCENES[name], Story(0, name, did=["undisturbed"])
    with staged(shared, own_room=own_room) as stage:
        course = _Course(scene, stage, story)
        begin_s = time.monotonic()
        run = course.start(scene.begins(stage))
        cpu_s = course.watched(run)
        code = course.ended(run)
        story.took_s = time.monotonic() - begin_s
        if code != 0:
            story.failed.append(f"code {code}: {course.last_line()}")
        elif not scene.ends_by_itself:
            course.go_on()
        lines = kept.whole_lines(stage.out)
        usual = Usual(cpu_s, frozenset(kept.measured(lines)) if scene.target.trials else frozenset())
        course.judge(usual)
    return usual, story


def play_until_struck(kill: Kill, usual: Usual, shared: Path, *, own_room: bool) -> Story:
    """As `play`; where the program had ended before the kill's moment, once more with an earlier one."""
    begin_s = time.monotonic()
    story = play(kill, usual, shared, own_room=own_room)
    for tries in range(2, MOST_TRIED + 1):
        if story.struck or not story.good:
            break
        kill = replace(kill, at=kill.at / 2, after_trials=None)
        story = play(kill, usual, shared, own_room=own_room)
        story.tries, story.took_s = tries, time.monotonic() - begin_s
    return story


def play(kill: Kill, usual: Usual, shared: Path, *, own_room: bool) -> Story:
    """Plays a kill's scene, harms it, brings it to its end, and looks at what has come of it."""
    scene, story = SCENES[kill.scene], Story(kill.number, kill.scene)
    begin_s = time.monotonic()
    with staged(shared, own_room=own_room) as stage, surroundings(kill, stage):
        course = _Course(scene, stage, story)
        course.strike(kill, usual, scene.begins(stage))
        if kill.strikes > 1 and scene.ends_by_itself:
            *before, command = scene.goes_on(stage)
            for each in before:
                course.carried_out(each)
            course.strike(kill, usual, command)
        if not course.is_done(usual):
            course.go_on()
        course.judge(usual)
    if own_room:
        room.clear_shared_memory()
    story.took_s = time.monotonic() - begin_s
    return story


@dataclass(slots=True)
class _Course:
    """What has happened so far on a stage. `must_stay`: finished trials that we did not harm ourselves;
    `harmed`: the names of files that we did, `saved`: what was in them, where that can't be measured anew."""

    scene: Scene
    stage: Stage
    story: Story
    env: dict[str, str] = field(default_factory=dict)
    must_stay: list[bytes] = field(default_factory=list)
    harmed: set[str] = field(default_factory=set)
    saved: dict[Path, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env = self.scene.environment(self.stage)

    def start(self, command: Sequence[str]) -> "Popen[bytes]":
        return self.stage.start(command, self.env, self.scene.cwd(self.stage))

    def strike(self, kill: Kill, usual: Usual, command: Sequence[str]) -> None:
        """Runs a command and harms it."""
        clock = Clock(self.stage)
        run = self.start(command)
        with ExitStack() as lasting:
            process = self._at_its_moment(kill, usual, run, clock)
            self.must_stay = kept.readable(kept.whole_lines(self.stage.out))
            at = f"{clock.cpu_s():.2f} CPU s in, {len(self.must_stay)} trials on disk"
            if process is None:
                done = f"{kill.harm} came too late"
            else:
                try:
                    done = strike(kill, self.stage, process, lasting)
                    self.story.struck += 1
                except (psutil.Error, OSError) as error:
                    done = f"{kill.harm} missed ({type(error).__name__})"
            code = self.ended(run)
        self.story.did.append(f"{done}, {kill.role}, {at}, code {code}")
        self._look_for_traceback()
        self._keep_what_is_there()
        if kill.harm in DAMAGES:
            self._damage(kill)
        elif code != KILLED and self.scene.ends_by_itself:
            self.story.left_behind += [f"at its end, {each}" for each in left_behind(self.stage)]

    def is_done(self, usual: Usual) -> bool:
        """Whether the harmed program came to its end all the same: then nothing goes on."""
        if not self.scene.target.trials or not self.story.did[-1].endswith("code 0"):
            return False
        return usual.runs <= kept.measured(kept.whole_lines(self.stage.out))

    def go_on(self) -> None:
        """Runs what brings the scene to its end, as its messages advise where a file was harmed."""
        codes: list[int] = []
        for _ in range(MOST_RESUMED):
            self.story.resumed += 1
            codes = [self.carried_out(command) for command in self.scene.goes_on(self.stage)]
            if not any(codes[1:] or codes):
                return
            self._follow_advice()
        self.story.failed.append(f"did not come to its end, codes {codes}: {self.last_line()}")

    def judge(self, usual: Usual) -> None:
        """Looks at everything in the end."""
        story, stage = self.story, self.stage
        lines = kept.whole_lines(stage.out)
        story.kept = len(lines)
        self._keep_what_is_there()
        if self.scene.target.trials:
            missing = usual.runs - kept.measured(lines)
            why = kept.problems(lines)
            story.lost += [f"never measured: {key} {why.get(key, '')}" for key in sorted(missing, key=str)]
            story.lost += kept.without_requests(stage.out, lines, self.harmed)
            story.doubled += kept.doubled(lines)
        story.left_behind += [*left_behind(stage), *self.scene.complaints(stage)]

    def watched(self, run: "Popen[bytes]") -> float:
        """The CPU time, in s, of a program up to its end, as the clock of a kill sees it."""
        clock, deadline = Clock(self.stage), time.monotonic() + LONGEST_S
        while run.poll() is None and time.monotonic() < deadline:
            clock.cpu_s()
            time.sleep(LOOK_S)
        return clock.cpu_s()

    def ended(self, run: "Popen[bytes]") -> int:
        """Its exit code. One that hangs is killed, and all that came of it."""
        try:
            return run.wait(LONGEST_S)
        except TimeoutExpired:
            self.story.failed.append(f"hung for {LONGEST_S:.0f} s: {self.last_line()}")
        run.kill()
        for process in self.stage.processes():
            with suppress(psutil.Error):
                process.kill()
        return run.wait()

    def last_line(self) -> str:
        """Of what the latest program printed."""
        return (self.stage.printed.strip().splitlines() or ["it said nothing"])[-1][:200]

    def carried_out(self, command: Sequence[str]) -> int:
        """Runs a command to its end; its exit code."""
        code = self.ended(self.start(command))
        self._look_for_traceback()
        return code

    def _look_for_traceback(self) -> None:
        if place := place_of_one(self.stage.printed):
            self.story.failed.append(f"a traceback: {self.last_line()} [{place}]")

    def _keep_what_is_there(self) -> None:
        there = kept.readable(kept.whole_lines(self.stage.out))
        self.story.lost += kept.lost(self.must_stay, there)
        self.must_stay = there

    def _at_its_moment(
        self, kill: Kill, usual: Usual, run: "Popen[bytes]", clock: Clock
    ) -> psutil.Process | None:
        """Waits for the moment of the kill, then for a process with its role, as a daemon is there for a
        part of the time; None where the program ended first."""
        trials = kill.after_trials
        while True:
            if trials is None:
                due = clock.cpu_s() > usual.cpu_s * kill.at
            else:
                due = len(kept.whole_lines(self.stage.out)) >= trials
            if run.poll() is not None and (run.returncode != 0 or not self.stage.processes()):
                return None
            if due and trials is not None:
                time.sleep(kill.delay_s)
            if due and (process := found(self.stage, run, kill.role)) is not None:
                return process
            time.sleep(LOOK_S)

    def _damage(self, kill: Kill) -> None:
        before = {path: path.read_bytes() for path in [self.stage.out / "environment.json"] if path.exists()}
        done = damage(self.stage.out, kill.harm, kill.detail)
        if done is None:
            return
        self.story.did.append(done)
        self.harmed.add(done.split()[0])
        if kill.harm == "cut environment":
            self.saved = before | self.saved  # what was there before the first harm
        untouched = set(self.must_stay)
        self.must_stay = [line for line in kept.whole_lines(self.stage.out) if line in untouched]

    def _follow_advice(self) -> None:
        """Does what the latest message says is to be done with a harmed file."""
        if line := DAMAGED_LINE.search(self.stage.printed):
            without_line(self.stage.out, int(line[1]))
            self.story.did.append(f"line {line[1]} removed, as advised")
        for path, content in self.saved.items():
            if f"{path.name} can't be read" in self.stage.printed:
                path.write_bytes(content)
                self.story.did.append(f"{path.name} restored, as it can't be read")
