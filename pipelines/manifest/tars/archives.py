"""Archives that are not read where they are: how to tell them, and what unpacks them.

Rows of a unit are read from the middle of files, which a packed stream does not allow.
"""

from __future__ import annotations

import posixpath
import shlex

from actors.storage.addresses import LOCAL, scheme_of
from pipelines.manifest.tables.packing import PACKINGS, UNPACKERS, packing_of, without_packing

_PACKED_TARS = (
    *(f".tar{packing}" for packing in PACKINGS),
    ".tgz", ".taz", ".tbz", ".tbz2", ".txz", ".tzst", ".tar.lz4", ".tar.lz", ".tar.z",
)  # fmt: skip
_COMMANDS = {
    **dict.fromkeys(_PACKED_TARS, "mkdir -p {folder} && tar -xf {file} -C {folder}"),
    ".zip": "unzip -q {file} -d {folder}",  # where it is not read
    ".7z": "7z x {file} -o{folder}",
    ".rar": "mkdir -p {folder} && unrar x {file} {folder}/",
}


def archive_of(name: str) -> str:
    """The suffix of an archive other than a tar, by its name: ``.tar.gz``; "" where it is none."""
    base = posixpath.basename(name).lower()
    return next((suffix for suffix in _COMMANDS if base.endswith(suffix)), "")


def unpack_first(uri: str) -> str:
    """Say what a packed file is and which command unpacks it.

    Args:
        uri: address of an archive, or of a file that is packed by itself.
    """
    suffix = archive_of(uri)
    is_local = scheme_of(uri) in LOCAL
    file = uri if is_local else posixpath.basename(uri)
    if suffix:
        what = "packed tar" if suffix in _PACKED_TARS else f"{suffix} archive"
        names = {"file": shlex.quote(file), "folder": shlex.quote(file[: -len(suffix)])}
        command = _COMMANDS[suffix].format(**names)
        then = f", and name {names['folder']}"
    else:
        kind = posixpath.splitext(without_packing(uri))[1].lower() or "file"
        what = f"packed {kind} ({PACKINGS[packing_of(uri)]})"
        command = f"{UNPACKERS[packing_of(uri)]} {shlex.quote(file)}"
        then = f", and name {shlex.quote(without_packing(file))}"
    before = "" if is_local else "fetch it, then "
    return f"a {what} cannot be read from its middle; {before}unpack it: `{command}`{then}"
