"""Picks the operating system user that PostgreSQL runs as: PostgreSQL refuses to run as root, so root needs somebody else.

As a normal user nothing happens here. As root (a container, usually) an existing account of a database is taken, else one is
created, and the folders above the data and the binaries are opened for passing through, never for reading.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from infra.local_stack.errors import LocalStackError
from infra.local_stack.processes import Account

_NAMES = ("pgserver", "postgres")
_PASS = stat.S_IXGRP | stat.S_IXOTH


def service_account(data: Path) -> Account | None:
    """None for a normal user; for root the owner of existing data, an existing database account, or a new account."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in _NAMES:
        if (account := _lookup(name)) is not None:
            return account
    if (useradd := shutil.which("useradd")) is not None:
        subprocess.run(
            [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _NAMES[0]], capture_output=True, check=False
        )
    account = _lookup(_NAMES[0]) or _lookup("nobody")
    if account is None:
        raise LocalStackError("PostgreSQL does not run as root, and no other account was found: create a user named 'pgserver'.")
    return account


def _lookup(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)


def open_the_way(path: Path) -> list[Path]:
    """Let every user pass through the folders above `path`; answers those whose mode had to change."""
    changed = []
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | _PASS)
            changed.append(folder)
    return changed


def make_readable(tree: Path) -> None:
    """Let every user read a tree of program files (an installation made under a strict umask)."""
    for path in (tree, *tree.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        wanted = mode | stat.S_IRGRP | stat.S_IROTH | (_PASS if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(stat.S_IMODE(wanted))


def is_readable_by_all(path: Path) -> bool:
    """Whether any user may read and run this file."""
    mode = path.stat().st_mode
    return bool(mode & stat.S_IROTH and mode & stat.S_IXOTH)
