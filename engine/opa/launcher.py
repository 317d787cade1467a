"""Becomes OPA, having asked the kernel to kill it when Muster ends. Run as a program, imported by nobody.

    launcher.py PARENT_PID PROGRAM ARGUMENT...

The kernel sends the signal when the *thread* that started us ends (prctl(2), PR_SET_PDEATHSIG), and keeps the setting
across exec. This stands in a program of its own because Python code between fork and exec is unsafe beside threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, program: str, arguments: list[str]) -> None:
    """Does not return."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("Muster ended before OPA began")  # it died before prctl: no signal would ever come
    os.execv(program, [program, *arguments])  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
