"""Checks of this host: the spool, the copy of the directory, their file modes, and the limits of nginx.

Opens the spool only as its owner: another user would create files that the service cannot write.
"""

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from calyapp import clock
from calyapp.clients.directory_copy import DirectoryCopy
from calyapp.config import Settings
from calyapp.doctor.diagnosis import NamedCheck, fail, from_health, ok, warn
from calyapp.health import service_checks
from calyapp.health.checks import Finding
from calyapp.spool.journal import Journal

ENVIRONMENT_FILE = Path("/etc/caly/caly.env")
NGINX_FILE = Path("/etc/nginx/nginx.conf")
_FOLDER = "spool folder"
_MIB = 1024 * 1024
_MAX_DIRECTORY_AGE_SECONDS = 60
# A delivery that waits while Caly restarts holds two connections: 5 s at 250/s need 2500, possibly in one worker.
_MIN_CONNECTIONS = 8192
_DEFAULT_CONNECTIONS = 512  # the default of nginx
_NETWORK_FILE_SYSTEM = re.compile(r"nfs\d?|cifs|smb3?|9p|ceph|glusterfs|afs")
_MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")


def checks(
    settings: Settings, journal: Journal, environment_file: Path = ENVIRONMENT_FILE, nginx_file: Path = NGINX_FILE
) -> list[NamedCheck]:
    """Returns the checks of the files of the service, and of nginx if this host has it."""
    folder = settings.spool_dir
    return [
        NamedCheck("environment file", lambda: check_environment_file(environment_file)),
        NamedCheck(_FOLDER, lambda: check_folder(folder, os.geteuid())),
        NamedCheck("file modes", lambda: check_modes(folder), _FOLDER),
        NamedCheck("disk", lambda: check_disk(folder, journal.max_bytes), _FOLDER),
        NamedCheck("spool", lambda: check_spool(journal), _FOLDER),
        NamedCheck("directory", lambda: check_directory(folder / "directory"), _FOLDER),
        *([NamedCheck("nginx", lambda: check_nginx(nginx_file))] if nginx_file.exists() else []),
    ]


def check_environment_file(path: Path) -> Iterator[Finding]:
    """Checks that only the service can read the file, because it holds the keys."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        yield ok(f"there is no {path}")
        return
    except PermissionError:  # its folder cannot be entered
        yield ok(f"{path} cannot be read by everyone")
        return
    if mode & 0o007:
        yield fail(f"{path} holds the keys, and everyone can read it", f"chmod 640 {path}")
    else:
        yield ok(f"{path} cannot be read by everyone")


def check_folder(folder: Path, user: int) -> Iterator[Finding]:
    """Checks that the folder exists on a local disk, and belongs to the user who runs this command."""
    try:
        owner = folder.stat().st_uid
    except FileNotFoundError:
        yield fail("SPOOL_DIR does not exist", "Start the service once, which creates it, or correct SPOOL_DIR.")
        return
    if owner != user:
        yield fail(
            "SPOOL_DIR belongs to another user than the one who runs this command",
            "Run this command as the user who runs the service (`sudo -u caly …`), or give SPOOL_DIR to that user.",
        )
        return
    yield assess_file_system(file_system(folder, Path("/proc/self/mountinfo").read_text()))


def file_system(folder: Path, mounts: str) -> str:
    """Returns the type of the file system that holds the folder. `mounts` is the text of /proc/self/mountinfo."""
    nearest = ("", "unknown")
    for line in mounts.splitlines():
        fields, _, source = line.partition(" - ")
        mount_point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields.split()[4])
        if folder.resolve().is_relative_to(mount_point) and len(mount_point) >= len(nearest[0]):
            nearest = (mount_point, source.split()[0])
    return nearest[1]


def assess_file_system(kind: str) -> Finding:
    """Assesses whether the file system keeps acknowledged deliveries through a crash."""
    remedy = "Set SPOOL_DIR to a folder on a local disk."
    if kind in _MEMORY_FILE_SYSTEMS:
        return fail(f"SPOOL_DIR is in memory ({kind}): a restart of the machine loses the waiting deliveries", remedy)
    if _NETWORK_FILE_SYSTEM.fullmatch(kind):
        return fail(f"SPOOL_DIR is on the network ({kind}), where the locks of the journal do not work", remedy)
    if kind.startswith("fuse"):
        return warn(f"SPOOL_DIR is on {kind}, which may lose data that it has acknowledged", remedy)
    return ok(f"on a local disk ({kind})")


def check_modes(folder: Path) -> Iterator[Finding]:
    """Checks that only the owner can read the folder, which holds phone numbers, and owns all its files."""
    yield ok("only the service can read the spool")
    details = folder.stat()
    if stat.S_IMODE(details.st_mode) & 0o077:
        yield fail("other users can enter SPOOL_DIR", f"chmod 700 {folder}")
    files = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    if readable := sorted(path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077):
        yield fail(f"other users can read, in SPOOL_DIR: {', '.join(readable)}", f"chmod go= {folder}/*")
    if foreign := sorted(path.name for path in files if path.stat().st_uid != details.st_uid):
        yield fail(
            f"owned by another user, in SPOOL_DIR: {', '.join(foreign)}", f"chown --reference={folder} {folder}/*"
        )


def check_disk(folder: Path, max_bytes: int) -> Iterator[Finding]:
    """Checks that the spool can grow to its maximum size."""
    finding = service_checks.check_disk(folder, max_bytes)
    free, needed = (int(str(finding.facts.get(name, 0))) // _MIB for name in ("freeBytes", "neededBytes"))
    yield from_health(finding, f"{free} MiB free, of which the spool may need {needed}")


def check_spool(journal: Journal) -> Iterator[Finding]:
    """Checks that the spool has room, and that no delivery waits too long or is in quarantine."""
    if not journal.has_room():
        yield from_health(service_checks.check_spool(journal), "")
        return
    status = journal.status()
    yield ok(f"deliveries waiting: {status.depth}, in quarantine: {status.quarantined}")
    for problem in service_checks.spool_problems(status, clock.now()):
        yield (fail if problem.is_serious else warn)(problem.message, problem.remedy)


def check_directory(path: Path) -> Iterator[Finding]:
    """Checks the copy of the directory, which the service starts with when the database is away."""
    if DirectoryCopy(path).read() is None:
        yield warn(
            "the copy of the directory is missing or damaged: the service cannot start while the database is away",
            "Restart the service while the database is reachable.",
        )
        return
    age = time.time() - path.stat().st_mtime
    if age > _MAX_DIRECTORY_AGE_SECONDS:
        yield warn(
            f"the copy of the directory is {age:.0f} s old",
            "Start the service (systemctl start caly), and check that it reaches the database.",
        )
    else:
        yield ok("the copy is recent and complete")


def check_nginx(path: Path) -> Iterator[Finding]:
    """Checks that nginx has enough connections and open files for the deliveries that wait while Caly restarts."""
    remedy = "Edit /etc/nginx/nginx.conf as step 11 of deploy/INSTALL.md does, then `systemctl restart nginx`."
    try:
        text = path.read_text()
    except OSError as error:
        yield warn(f"{path} cannot be read ({error.strerror})", f"chmod 644 {path}")
        return
    connections = _last_number("worker_connections", text) or _DEFAULT_CONNECTIONS
    files = _last_number("worker_rlimit_nofile", text)
    yield ok(f"{connections} connections for each worker")
    if connections < _MIN_CONNECTIONS:
        yield warn(
            f"worker_connections is {connections}: at 250 deliveries/s nginx refuses some while Caly restarts", remedy
        )
    if files is None or files < connections:
        yield warn(
            f"worker_rlimit_nofile is {files or 'not set'}, but {connections} connections need an open file each",
            remedy,
        )


def _last_number(directive: str, text: str) -> int | None:
    numbers = re.findall(rf"^[^#\n]*\b{directive}\s+(\d+)\s*;", text, re.MULTILINE)
    return int(numbers[-1]) if numbers else None
