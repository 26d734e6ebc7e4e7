"""Install into `.venv` exactly what requirements files pin: `python3 deploy/install.py requirements.txt …`.

Creates `.venv` if it is missing or broken, installs the pip that requirements-pip.txt pins, and lets that pip install
the rest. Without arguments it stops after pip. Uses the standard library only, because nothing is installed yet.
"""

from __future__ import annotations  # so that an older Python reaches the sentence about its version

import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)
VENV = Path(".venv")
PYTHON = str(VENV / "bin" / "python")
# Wheels only: a source archive needs a compiler, and what it builds has no hash. Compiling every module would take a
# third of the time; Python compiles those in use when it first imports them.
INSTALL = ["--disable-pip-version-check", "install", "--require-hashes", "--only-binary", ":all:", "--no-compile"]
ON_TERMINAL = sys.stdout.isatty()
PROGRESS_SECONDS = 0.2 if ON_TERMINAL else 5.0


def main(files: list[str]) -> int:
    """Install the files. Returns the exit code; the reason of a failure is on standard error by then."""
    started = time.monotonic()
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        supported = "{}.{} to {}.{}".format(*OLDEST, *NEWEST)
        found = "{}.{}".format(*sys.version_info)
        sys.stderr.write(
            f"Caly runs on CPython {supported}, and {sys.executable} is {found}: "
            "name another with PYTHON=…, for example `make run PYTHON=python3.13`.\n"
        )
        return 1
    pip = [PYTHON, "-m", "pip"] if has_pip() else create_venv()
    done = bool(pip) and run([*pip, *INSTALL, "-r", "requirements-pip.txt"], "Installing pip")
    if done and files:
        arguments = [argument for file in files for argument in ("-r", file)]
        packages = len({name for file in files for name in pinned(file)})
        done = run([PYTHON, "-m", "pip", *INSTALL, *arguments], f"Installing {packages} packages")
    if done:
        sys.stdout.write(f"Installed in {time.monotonic() - started:.0f} s.\n")
    return 0 if done else 1


def has_pip() -> bool:
    """Whether the virtual environment can install anything: an upgrade of Python or a Ctrl-C can break it."""
    try:
        asked = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False)  # noqa: S603
    except OSError:
        return False
    return asked.returncode == 0


def create_venv() -> list[str]:
    """Create the virtual environment, without pip. Returns the command of the pip that Python brings; empty if none.

    That pip runs from its wheel, and only installs the pinned one. `venv` would install it first: three seconds.
    """
    bundled = sysconfig.get_config_var("WHEEL_PKG_DIR") or Path(sysconfig.get_path("stdlib"), "ensurepip", "_bundled")
    wheels = sorted(Path(bundled).glob("pip-*.whl"))
    if not wheels:
        sys.stderr.write(
            f"{sys.executable} cannot create a virtual environment, because it has no pip: "
            "install the package python3-venv (Debian, Ubuntu), or name another Python with PYTHON=….\n"
        )
        return []
    shutil.rmtree(VENV, ignore_errors=True)
    # This file may run in the virtual environment that was just removed, because the Makefile puts it first on PATH.
    python = getattr(sys, "_base_executable", sys.executable)
    created = run([python, "-m", "venv", "--without-pip", str(VENV)], "Creating .venv")
    return [PYTHON, f"{wheels[-1]}/pip"] if created else []


def pinned(file: str) -> list[str]:
    """The names that a requirements file pins, without extras."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return [line.partition("==")[0].partition("[")[0] for line in lines if line[:1].isalnum()]


def run(command: list[str], title: str) -> bool:
    """Run a command and show how far it is. Prints the end of its output only if it fails."""
    started = time.monotonic()
    output: list[str] = []
    show(f"{title} …")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(  # noqa: S603 (pip, by our own command)
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    reader = threading.Thread(target=output.extend, args=(process.stdout,))
    reader.start()
    try:
        reader.join(PROGRESS_SECONDS)
        while reader.is_alive():
            show(f"{title} … {time.monotonic() - started:.0f} s, {step(output)}")
            reader.join(PROGRESS_SECONDS)
    except KeyboardInterrupt:
        process.terminate()
        raise
    finally:
        reader.join()
        process.wait()
        process.stdout.close()
    if ON_TERMINAL:
        show("")
    if process.returncode:
        sys.stderr.write("".join(output[-20:]) + f"{title} failed.\n")
    return process.returncode == 0


def step(output: list[str]) -> str:
    """What pip is doing, by what it has printed so far."""
    if any(line.startswith("Installing collected") for line in output):
        return "unpacking"
    found = [line.split()[1] for line in output if line.startswith("Collecting ")]
    return f"downloading {found[-1]} (number {len(found)})" if found else "preparing"


def show(line: str) -> None:
    """Rewrite the last line of a terminal; elsewhere, add one."""
    sys.stdout.write(f"\r\033[K{line}" if ON_TERMINAL else f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        sys.exit(130)
