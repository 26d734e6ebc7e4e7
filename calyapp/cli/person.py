"""Who runs a command: the name under which this person signed in to the machine."""

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

LOGIN_UID = Path("/proc/self/loginuid")
_UNSET = 2**32 - 1
_MAX_LENGTH = 64


def login_name(environ: Mapping[str, str], login_uid: Path) -> str:
    """The login name, through `sudo` and `su`.

    The kernel keeps it from the login on, and only root can change it. A command that systemd runs, as `caly` does,
    has none; there CALY_ACTOR carries the name. Without both it is what sudo says, and else this process's user.
    """
    found = _kernel_name(login_uid) or environ.get("CALY_ACTOR") or environ.get("SUDO_USER") or _name_of(os.geteuid())
    return "".join(letter for letter in found if letter.isprintable())[:_MAX_LENGTH]


def _kernel_name(login_uid: Path) -> str | None:
    with suppress(OSError, ValueError):
        if (uid := int(login_uid.read_text())) != _UNSET:
            return _name_of(uid)
    return None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
