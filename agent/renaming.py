"""A rename that never takes the place of another file: what Python's own does not offer."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path

# From fcntl.h and linux/fs.h; see renameat2(2).
_AT_FDCWD = -100
_NOREPLACE = 1
_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS})
"""Of file systems that know no such rename (some on networks), and of kernels before 3.15."""


def rename_new(source: Path, target: Path) -> None:
    """Rename; raises FileExistsError when there is something at `target`, OSError like os.rename().

    Where the file system cannot do that in one step, a look comes before it.
    """
    number = _renameat2()(os.fsencode(source), os.fsencode(target))
    if number in _CANNOT:
        if os.path.lexists(target):
            number = errno.EEXIST
        else:
            source.rename(target)
            return
    if number:
        raise OSError(number, os.strerror(number), str(source), None, str(target))


@functools.cache
def _renameat2() -> Callable[[bytes, bytes], int]:
    """Gives the error number, 0 when it is done."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # a C library before glibc 2.28
        return lambda _source, _target: errno.ENOSYS
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    call.restype = ctypes.c_int

    def rename(source: bytes, target: bytes) -> int:
        return ctypes.get_errno() if call(_AT_FDCWD, source, _AT_FDCWD, target, _NOREPLACE) else 0

    return rename
