"""Errors that the system is the reason of, as diagnostics: files that it refuses, and resources that run out."""

from __future__ import annotations

import errno

from dlc.diagnostics import SpecError, reason
from dlc.support.exhaustion import exhausted

_FILES = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def refused(error: BaseException) -> SpecError | None:
    """The diagnostic of an error that is not a bug in dlc; None for any other."""
    found = exhausted(error)
    if found is not None or not isinstance(error, OSError):
        return found
    if error.errno == errno.ENOENT and "temporary directory" in str(error):
        message = "there is no folder for temporary files"
        return SpecError.of("DLC507", message, hint="set the environment variable TMPDIR to a folder with free space")
    if error.errno not in _FILES or not isinstance(error.filename, str):
        return None
    name = error.filename if len(error.filename) <= 80 else f"{error.filename[:38]}...{error.filename[-38:]}"
    hint = "check the name, its permissions and the free disk space"
    return SpecError.of("DLC507", f"can't use `{name}`: {reason(error)}", hint=hint)
