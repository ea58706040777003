"""Ctrl-C: noted, raised where nothing is half done, at once the second time, and nobody else's business."""

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Any

import click
import pytest
from click.testing import CliRunner
from processes import ENVIRONMENT

from pi_system import interrupts
from pi_system.cli.errors import PiGroup
from pi_system.cli.service import Signals, on_stop_signal
from pi_system.interrupts import asked, check, interruptible, noted, parts, pause


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def left_as_it_was() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler and not asked()


def test_the_first_is_raised_where_it_is_checked() -> None:
    reached = []

    @interruptible()
    def body() -> None:
        ctrl_c()
        reached.append("the next line")
        check()
        reached.append("what follows the check")

    with pytest.raises(KeyboardInterrupt):
        body()
    assert reached == ["the next line"]
    assert left_as_it_was()


def test_the_second_is_raised_at_once() -> None:
    reached = []

    @interruptible()
    def body() -> None:
        for number in (1, 2):
            ctrl_c()
            reached.append(number)

    with pytest.raises(KeyboardInterrupt):
        body()
    assert reached == [1]


def test_one_that_comes_after_the_last_check_is_raised_at_the_end() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        ctrl_c()


def test_an_error_is_told_rather_than_an_interrupt_beside_it() -> None:
    @interruptible()
    def body() -> None:
        ctrl_c()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()
    assert left_as_it_was()


def test_blocks_within_blocks_are_one() -> None:
    reached = []

    @interruptible()
    @noted()
    def body() -> None:
        with interruptible():
            pass
        ctrl_c()
        reached.append("still deferred")
        check()

    with pytest.raises(KeyboardInterrupt):
        body()
    assert reached
    assert left_as_it_was()


def test_what_is_swallowed_is_found_at_the_next_check() -> None:
    with noted():
        try:
            ctrl_c()
        except KeyboardInterrupt:
            swallowed = True
        assert swallowed
        assert asked()
        with pytest.raises(KeyboardInterrupt), interruptible():
            pytest.fail("the block was entered")


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_handlers_of_others_are_left_alone(handler: Any) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is handler
            ctrl_c()
            check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_are_not_interrupted() -> None:
    """Neither is a signal deferred because one of them is in a block."""
    done = []

    def work() -> None:
        with interruptible():
            check()
            pause(0.0)
            done.append(signal.getsignal(signal.SIGINT))

    @interruptible()
    def body() -> None:
        ctrl_c()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert len(done) == 1
        check()

    with pytest.raises(KeyboardInterrupt):
        body()


def test_an_event_loop_keeps_its_own_wakeup() -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    before = signal.set_wakeup_fd(writes)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            ctrl_c()
        assert os.read(reads, 1) == bytes([signal.SIGINT])
    finally:
        assert signal.set_wakeup_fd(before) == writes
        os.close(reads)
        os.close(writes)


def test_a_wait_is_cut_into_parts_in_a_block_alone() -> None:
    assert list(parts(60.0)) == [60.0]
    assert list(parts(None)) == [None]
    with interruptible():
        assert next(iter(parts(60.0))) == interrupts.PART_S
        assert next(iter(parts(None))) == interrupts.PART_S
        assert list(parts(0.01)) == [0.01]
        (least,) = list(parts(-1.0))
        assert least == 0.0
        waited = []
        for part_s in parts(2.5 * interrupts.PART_S):
            time.sleep(part_s or 0.0)
            waited.append(part_s)
        assert all(part_s is not None and part_s <= interrupts.PART_S for part_s in waited)
        assert len(waited) <= 3


def test_a_wait_ends_with_ctrl_c() -> None:
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))

    @interruptible()
    def body() -> None:
        timer.start()
        pause(600.0)

    with pytest.raises(KeyboardInterrupt):
        body()


def test_a_handler_may_come_while_signals_are_waited_for() -> None:
    """Within the handler of another, as within any instruction of the main thread."""
    came = Signals()
    assert not came.acquire(timeout=0)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        on_stop_signal(came.release)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        assert came.acquire()
        ctrl_c()
        assert came.acquire(timeout=0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.group(cls=PiGroup)
def program() -> None:
    pass


@program.command()
def swallows() -> None:
    """A callback of C in which the signal comes."""

    class Forgotten:
        def __del__(self) -> None:
            ctrl_c()

    with interruptible():
        Forgotten()
        click.echo("half")
        check()
        click.echo("whole")


def test_a_program_is_not_half_stopped() -> None:
    result = CliRunner().invoke(program, ["swallows"])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "half\n", "error: stopped\n")
    assert left_as_it_was()


def test_arguments_that_are_read_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Command, "make_context", lambda *_, **__: ctrl_c())
    result = CliRunner().invoke(program, [])
    assert (result.exit_code, result.stderr) == (130, "error: stopped\n")


NATIVE = """
import hashlib
from pi_system import interrupts
interrupts._SAY_S = interrupts._END_S = 0.1
with interrupts.interruptible():
    print("starts", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)
"""


def test_a_kernel_that_python_cannot_leave_is_ended_by_the_second() -> None:
    command = [sys.executable, "-c", NATIVE]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=ENVIRONMENT, **pipes) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "starts\n"
            process.send_signal(signal.SIGINT)
            assert process.stderr.readline() == interrupts._SAID.decode()
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert (process.stderr.read(), process.wait(60)) == ("error: stopped\n", 130)
        finally:
            process.kill()


def _signal_at(number: int) -> tuple[bool, bool]:
    """A block with a signal at the so-many-th line of the module that runs: was there one, and did it raise."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        inside = frame.f_code.co_filename == interrupts.__file__ and frame.f_code.co_name not in (
            "_on_signal",
            "_watch",
        )
        if inside and event in ("line", "return"):
            lines += 1
            if lines == number:
                sys.settrace(None)
                ctrl_c()
        return trace if inside else None

    raised = False
    try:
        sys.settrace(trace)
        with interruptible():
            check()
    except KeyboardInterrupt:
        raised = True
    finally:
        sys.settrace(None)
    return lines >= number, raised


def test_a_signal_at_any_line_leaves_the_next_block_as_the_first_was() -> None:
    number, lost = 0, []
    while True:
        number += 1
        there, raised = _signal_at(number)
        if not there:
            break
        lost += [] if raised else [number]
        with interruptible():
            check()
        assert left_as_it_was()
    assert number > 30
    assert lost == []
