"""Becomes the program in its arguments, which Linux then ends when the supervisor dies.

Run by path with `python -I -S`, so it must import nothing of ours. A launcher because Popen's `preexec_fn` runs Python
between fork and exec, which can deadlock where there are threads. `prctl` outlives exec, and so do the descriptors that
Popen was told to pass. Elsewhere than on Linux children simply outlive a supervisor that was killed without warning.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent_pid: int, command: list[str]) -> None:
    """Replaces this process with `command`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent_pid:  # it died before we asked
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 -- the supervisor's own commands, no shell


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
