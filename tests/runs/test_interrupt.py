import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from rewardtogo.runs.interrupt import Interrupt


def wait_for(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


def test_the_first_ctrl_c_is_noted_only(capfd):
    with Interrupt() as interrupt:
        assert not interrupt.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert wait_for(lambda: interrupt.requested)
    assert "Ctrl-C again stops now" in capfd.readouterr().err


@pytest.fixture
def pythons_own_handler():
    """A shell's background jobs ignore Ctrl-C, and so would the tests that are started there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_afterwards_all_is_as_before(pythons_own_handler):
    handler, descriptor = pythons_own_handler, signal.set_wakeup_fd(-1)
    threads = threading.active_count()
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) is not handler
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.set_wakeup_fd(descriptor) == -1
    assert threading.active_count() == threads
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_other_signals_are_not_taken_for_it():
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert wait_for(lambda: heard)
            time.sleep(0.05)
            assert not interrupt.requested
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_in_another_thread_it_leaves_signals_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with Interrupt() as interrupt:
            seen.append((signal.getsignal(signal.SIGINT), interrupt.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, False)]


LONG_CALL = """
import hashlib, sys
from rewardtogo.runs.interrupt import Interrupt
with Interrupt():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes, without a step of Python's
"""


def test_the_second_ends_the_process_though_it_is_inside_one_long_call():
    """As it is while a program is compiled, or runs for a long time."""
    with subprocess.Popen(
        [sys.executable, "-c", LONG_CALL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert "Ctrl-C again" in process.stderr.readline() + process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
