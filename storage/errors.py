"""Errors the user can fix, and those of the operating system as one sentence with the remedy."""

import errno
import os
from pathlib import Path


class InputError(ValueError):
    """Bad input or configuration. The message is one sentence: what is wrong, where, and what to do."""


SAME_COMMAND = "and the same command goes on"


def os_sentence(error: OSError, at: Path | None = None) -> str:
    """Return what is wrong, where (`at`, where the error does not say), and what to do, of an error of the system."""
    where = _place(error) or (f" at {at}" if at else "")
    said = error.strerror or str(error) or type(error).__name__
    match error.errno:
        case errno.ENOSPC:
            return f"the disk is full ({said}{where}): free some space, {SAME_COMMAND}"
        case errno.EDQUOT:
            return f"your quota of the disk is used up ({said}{where}): free some of it, {SAME_COMMAND}"
        case errno.EROFS:
            return f"the disk is read-only ({said}{where}): mount it for writing, or give a place on another disk"
        case errno.EACCES | errno.EPERM:
            return f"you may not do that ({said}{where}){_owner(error)}, or give another place"
        case errno.ENOTDIR | errno.EEXIST | errno.EISDIR:
            return f"a file and a folder are mistaken for one another ({said}{where}): move it away, or give another"
        case errno.ENOENT if not where:  # of os.getcwd
            return f"the folder that you are in is gone, or something else is ({said}): cd to one, {SAME_COMMAND}"
        case errno.ENOENT:
            return f"there is nothing{where}: correct the path, or make what is missing anew"
        case errno.EMFILE | errno.ENFILE:
            return f"too many files are open ({said}{where}): raise the limit (ulimit -n), {SAME_COMMAND}"
        case errno.EIO | errno.ESTALE:
            return f"the disk does not answer ({said}{where}): look after it (dmesg), {SAME_COMMAND}"
        case errno.EFBIG:
            return f"a file may grow no larger ({said}{where}): raise the limit (ulimit -f), or give another disk"
        case errno.ENOLCK | errno.ENOSYS | errno.ENOTSUP:
            return (
                f"the file system cannot do that ({said}{where}): give a place on another disk, or mount it with locks"
            )
        case errno.ENOTEMPTY | errno.EBUSY | errno.ETXTBSY:
            return f"something has it open ({said}{where}): end the program that does, {SAME_COMMAND}"
        case errno.ENAMETOOLONG | errno.ELOOP:
            return f"a path cannot be used ({said}{where}): give a shorter one, without links in a circle"
    return f"{said}{where}"


def is_disk_full(error: BaseException) -> bool:
    """Tell whether space ran out. DuckDB and Arrow tell it in words of their own."""
    texts = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(text in str(error) for text in texts)


def _place(error: OSError) -> str:
    place = error.filename2 or error.filename  # of a rename, what it was to replace
    return f" at {os.fsdecode(place)}" if isinstance(place, str | bytes) else ""


def _owner(error: OSError) -> str:
    """Advise whom to ask: the nearest folder that there is says who could give the permission."""
    advice = ": ask its owner for the permission"
    if not isinstance(error.filename, str | bytes):
        return advice
    path = Path(os.fsdecode(error.filename)).absolute()
    for place in (path, *path.parents):
        try:
            owner = place.stat().st_uid
        except OSError:
            continue
        if owner != os.geteuid():
            return f": {place} belongs to {_name(owner)}; have its group given permission (chmod -R g+rwX {place})"
        return f": give yourself permission (chmod u+rwX {place})"
    return advice


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
