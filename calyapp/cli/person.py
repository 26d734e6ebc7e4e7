"""The name of the operator who runs a command."""

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

LOGIN_UID = Path("/proc/self/loginuid")
_UNSET = 2**32 - 1
_MAX_LENGTH = 64


def login_name(environ: Mapping[str, str], login_uid: Path) -> str:
    """Returns the name under which the operator signed in to the machine, also behind `sudo` and `su`.

    The kernel keeps the login user id, and only root can change it. A process of systemd, which the script `caly`
    starts, has none; there CALY_ACTOR has the name. Without both it is SUDO_USER, else the user of this process.
    """
    name = _kernel_name(login_uid) or environ.get("CALY_ACTOR") or environ.get("SUDO_USER") or _name_of(os.geteuid())
    return "".join(letter for letter in name if letter.isprintable())[:_MAX_LENGTH]


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
