"""What lies on this host's disk: the spool, the copy of the directory, who may read them, and nginx's limits.

Looks into the spool only as the user whom it belongs to: anybody else would leave files that the service cannot write.
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
_DIRECTORY_SECONDS = 60
# A delivery that waits while Caly restarts holds two connections: 5 s at 250/s take 2500, at worst of one worker.
_MIN_CONNECTIONS = 8192
_NGINX_CONNECTIONS = 512  # of nginx itself, where its file names no number
_NETWORK = re.compile(r"nfs\d?|cifs|smb3?|9p|ceph|glusterfs|afs")
_IN_MEMORY = ("tmpfs", "ramfs")


def checks(
    settings: Settings, journal: Journal, environment_file: Path = ENVIRONMENT_FILE, nginx_file: Path = NGINX_FILE
) -> list[NamedCheck]:
    """Of SPOOL_DIR and what lies in it, and of nginx if this host has one."""
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
    """The keys stand in it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        yield ok(f"there is no {path}")
        return
    except PermissionError:  # its folder lets nobody in
        yield ok(f"{path} is not for everybody")
        return
    if mode & 0o007:
        yield fail(f"{path} may be read by everybody, and the keys stand in it", f"chmod 640 {path}")
    else:
        yield ok(f"{path} is not for everybody")


def check_folder(folder: Path, user: int) -> Iterator[Finding]:
    """It is there, on a disk that keeps what is written, and belongs to whoever looks."""
    try:
        owner = folder.stat().st_uid
    except FileNotFoundError:
        yield fail("SPOOL_DIR does not exist", "Start the service once, which makes it, or correct SPOOL_DIR.")
        return
    if owner != user:
        yield fail(
            "SPOOL_DIR belongs to another user than the one who asks",
            "Run this command as the user who runs the service (`sudo -u caly …`), or give SPOOL_DIR to that user.",
        )
        return
    yield assess_file_system(file_system(folder, Path("/proc/self/mountinfo").read_text()))


def file_system(folder: Path, mounts: str) -> str:
    """The kind of file system that holds the folder, by Linux's table of mounts."""
    found = ("", "unknown")
    for line in mounts.splitlines():
        fields, _, of_source = line.partition(" - ")
        place = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields.split()[4])
        if folder.resolve().is_relative_to(place) and len(place) >= len(found[0]):
            found = (place, of_source.split()[0])
    return found[1]


def assess_file_system(kind: str) -> Finding:
    """Whether what is acknowledged there is there after a crash."""
    remedy = "Let SPOOL_DIR name a folder on a local disk."
    if kind in _IN_MEMORY:
        return fail(f"SPOOL_DIR is in memory ({kind}): what waits there is gone when the machine restarts", remedy)
    if _NETWORK.fullmatch(kind):
        return fail(f"SPOOL_DIR is on the network ({kind}), where the journal's locks do not hold", remedy)
    if kind.startswith("fuse"):
        return warn(f"SPOOL_DIR is on {kind}, which may not keep what it acknowledges", remedy)
    return ok(f"on a local disk ({kind})")


def check_modes(folder: Path) -> Iterator[Finding]:
    """Telephone numbers lie there: only the owner may look, and everything is the owner's."""
    yield ok("only the service may read what waits")
    details = folder.stat()
    if stat.S_IMODE(details.st_mode) & 0o077:
        yield fail("SPOOL_DIR may be entered by others", f"chmod 700 {folder}")
    files = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    if open_ := sorted(path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077):
        yield fail(f"others may read in SPOOL_DIR: {', '.join(open_)}", f"chmod go= {folder}/*")
    if strange := sorted(path.name for path in files if path.stat().st_uid != details.st_uid):
        yield fail(f"of another user, in SPOOL_DIR: {', '.join(strange)}", f"chown --reference={folder} {folder}/*")


def check_disk(folder: Path, max_bytes: int) -> Iterator[Finding]:
    """The spool may still grow as large as it is allowed to."""
    finding = service_checks.check_disk(folder, max_bytes)
    free, needed = (int(str(finding.facts.get(name, 0))) // _MIB for name in ("freeBytes", "neededBytes"))
    yield from_health(finding, f"{free} MiB free, of which the spool may take {needed}")


def check_spool(journal: Journal) -> Iterator[Finding]:
    """It has room, and nothing lies there that should not."""
    if not journal.has_room():
        yield from_health(service_checks.check_spool(journal), "")
        return
    status = journal.status()
    yield ok(f"deliveries waiting: {status.depth}, in quarantine: {status.quarantined}")
    for problem in service_checks.spool_problems(status, clock.now()):
        yield (fail if problem.is_serious else warn)(problem.message, problem.remedy)


def check_directory(path: Path) -> Iterator[Finding]:
    """Without the database, the service starts on it."""
    if DirectoryCopy(path).read() is None:
        yield warn(
            "the copy of the directory is missing or damaged: without the database the service could not start",
            "Restart the service while the database is there.",
        )
        return
    age = time.time() - path.stat().st_mtime
    if age > _DIRECTORY_SECONDS:
        yield warn(
            f"the copy of the directory is {age:.0f} s old",
            "Start the service (systemctl start caly), and see that it reaches the database.",
        )
    else:
        yield ok("the copy is fresh and whole")


def check_nginx(path: Path) -> Iterator[Finding]:
    """It has connections and open files enough for what waits while Caly restarts."""
    remedy = "Edit /etc/nginx/nginx.conf as step 11 of deploy/INSTALL.md does, then `systemctl restart nginx`."
    try:
        text = path.read_text()
    except OSError as error:
        yield warn(f"{path} cannot be read ({error.strerror})", f"chmod 644 {path}")
        return
    connections = _last_number("worker_connections", text) or _NGINX_CONNECTIONS
    files = _last_number("worker_rlimit_nofile", text)
    yield ok(f"{connections} connections for each worker")
    if connections < _MIN_CONNECTIONS:
        yield warn(
            f"worker_connections is {connections}: at 250 deliveries/s nginx refuses some while Caly restarts", remedy
        )
    if files is None or files < connections:
        yield warn(
            f"worker_rlimit_nofile is {files or 'not set'}, and each of {connections} connections is an open file",
            remedy,
        )


def _last_number(directive: str, text: str) -> int | None:
    found = re.findall(rf"^[^#\n]*\b{directive}\s+(\d+)\s*;", text, re.MULTILINE)
    return int(found[-1]) if found else None
