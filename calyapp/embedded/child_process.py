"""Runs child processes that end with this process and receive its signals. Linux only. Knows nothing of PostgreSQL."""

import signal
import subprocess
from collections.abc import Mapping, Sequence

_PASSED_ON = {signal.SIGTERM, signal.SIGHUP}
_AWAITED = _PASSED_ON | {signal.SIGINT, signal.SIGCHLD}


def dying_with_us(last_signal: signal.Signals) -> tuple[str, ...]:
    """Returns a command prefix that makes the kernel send `last_signal` when this process dies, even by SIGKILL.

    Strictly, it is sent when the thread that started the child ends: start long-running commands from the main thread.
    """
    # Not prctl() in a `preexec_fn`: with threads, Python code between fork and exec can deadlock.
    return ("setpriv", "--pdeathsig", last_signal.name.removeprefix("SIG"))


def run(command: Sequence[str], environment: Mapping[str, str], needed: subprocess.Popen[bytes] | None = None) -> int:
    """Runs a command to its end and returns its exit code, or 128 + n if signal n ended it, as a shell does.

    SIGTERM and SIGHUP are passed on to it. SIGINT is not, because the terminal sends it to the command too. If the
    process `needed` ends first, the command gets SIGTERM. Only for a process with a single thread.
    """
    child = subprocess.Popen([*dying_with_us(signal.SIGTERM), *command], env=environment)  # noqa: S603 — the command comes from our caller
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
