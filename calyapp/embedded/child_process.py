"""Child processes that end when we do, and get our signals. Linux only. Knows nothing of PostgreSQL."""

import signal
import subprocess
from collections.abc import Mapping, Sequence

_PASSED_ON = {signal.SIGTERM, signal.SIGHUP}
_AWAITED = _PASSED_ON | {signal.SIGINT, signal.SIGCHLD}


def dying_with_us(last_signal: signal.Signals) -> tuple[str, ...]:
    """What to put before a command for the kernel to send it `last_signal` when we die, of kill -9 too.

    Strictly it is the death of the starting thread that counts: start lasting commands from the main thread.
    """
    # Not prctl() in a `preexec_fn`: beside threads, Python code between fork and exec may hang, and warns.
    return ("setpriv", "--pdeathsig", last_signal.name.removeprefix("SIG"))


def run(command: Sequence[str], environment: Mapping[str, str], needed: subprocess.Popen[bytes] | None = None) -> int:
    """Run `command` to its end and return its exit code, or 128 + n if signal n ended it, as a shell does.

    Meanwhile SIGTERM and SIGHUP are passed on to it. SIGINT is not, as the terminal sends it to the command
    as well. When the process `needed` ends first, the command gets SIGTERM. For a process with a single thread.
    """
    child = subprocess.Popen([*dying_with_us(signal.SIGTERM), *command], env=environment)  # noqa: S603 — the command is our caller's, never a stranger's
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)  # blocked signals wait for sigwait()
    try:
        stopped = False
        while child.poll() is None:
            if needed and needed.poll() is not None and not stopped:
                child.terminate()
                stopped = True
            received = signal.sigwait(_AWAITED)
            if received in _PASSED_ON:
                child.send_signal(received)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode
