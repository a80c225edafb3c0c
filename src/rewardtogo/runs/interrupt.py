"""Ctrl-C once to finish the step under way and save, twice to stop now."""

import os
import signal
import socket
import threading


class Interrupt:
    """A context in which the first Ctrl-C only sets `requested`; the second ends the process.

    Every file is written beside its final place and then renamed, so ending at any moment harms
    nothing. Python runs a signal's handler between two steps of its own, so never while a compiled
    program runs or is being compiled; a thread that is woken by the signal itself need not wait.
    """

    def __init__(self):
        self.requested = False
        self._undo = None

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is not threading.main_thread():
            return self  # whoever runs the main thread decides on signals
        woken, bell = socket.socketpair()
        bell.setblocking(False)
        handler = signal.signal(signal.SIGINT, lambda number, frame: None)
        descriptor = signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
        thread = threading.Thread(target=self._watch, args=(woken,), daemon=True)
        thread.start()
        self._undo = (handler, descriptor, bell, thread)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._undo is None:
            return
        handler, descriptor, bell, thread = self._undo
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGINT, handler)
        bell.close()
        thread.join()

    def _watch(self, woken: socket.socket) -> None:
        """Read the number of every signal that arrives, until the other end is closed."""
        with woken:
            while arrived := woken.recv(1):
                if arrived[0] == signal.SIGINT:
                    self._hear()

    def _hear(self) -> None:
        if self.requested:
            os.write(2, b"\nStopped; what was saved before stays.\n")
            os._exit(130)
        self.requested = True
        os.write(2, b"\nStopping after this step; Ctrl-C again stops now.\n")
