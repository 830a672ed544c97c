"""The policy for addresses in a manifest, whose author may not be trusted.

A local manifest may name local files, any store, and any public web server. One that comes from a
store or a web server may name what lies beside it there (its bucket, its repository, its host) and
any public web server. All else, such as a local file from a remote manifest, another bucket, or a
server of the private network, only where the user allows it by name.
"""

from __future__ import annotations

import ipaddress
import os
import posixpath
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from uniaudio2.errors import BadRow
from uniaudio2.shown import quoted

KIND = "forbidden_address"
LOCAL, WEB = ("", "file", "local"), ("http", "https")
# whole stores, which know their users; a place in them is a bucket, a container, a repository
_STORES = {
    "s3": 1, "s3a": 1, "gs": 1, "gcs": 1, "az": 1, "abfs": 1, "abfss": 1, "adl": 1, "oss": 1,
    "obs": 1, "cos": 1, "b2": 1, "hdfs": 1, "hf": 3,
}  # fmt: skip
_HUB_KINDS = ("datasets", "spaces", "buckets")  # before org/name, which alone is a model
_HOSTS = ("ftp", "sftp", "ssh", "smb", "webhdfs", "webdav")  # a row would choose who is asked
_SAME = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "local": "", "file": ""}
# public by their numbers, but answered by the machine that asks: services of clouds
_OWN_CLOUD = frozenset({ipaddress.ip_address("168.63.129.16")})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")
_LOCAL_ENDINGS = (".localhost", ".local", ".internal", ".lan", ".home.arpa")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def scheme_of(uri: str) -> str:
    """The protocol of an address in small letters; "" for a path."""
    scheme, separator, _ = uri.partition("://")
    return scheme.lower() if separator else ""


def is_store(uri: str) -> bool:
    """Tell whether an address is in a store, such as ``s3://``, which knows its users."""
    return scheme_of(uri) in _STORES


def is_public(address: str) -> bool:
    """Tell whether a numeric address is one of the open internet, and not of this machine, its
    network or its cloud.

    Raises:
        ValueError: it is no numeric address.
    """
    found: Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast and found not in _OWN_CLOUD


def _host_of(uri: str) -> str:
    """The host of an address; "" where it has none, or one that cannot be."""
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""


def _host_is_public(host: str) -> bool:
    """Tell whether a host is public by its name; who answers is checked on connecting."""
    host = host.rstrip(".").lower()
    if host in _LOCAL_NAMES or host.endswith(_LOCAL_ENDINGS):
        return False
    try:
        return is_public(host)
    except ValueError:
        pass
    try:  # 127.1, 0x7f000001 and their like, as the C library reads them
        return is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except OSError:
        return True


def _owner(uri: str) -> tuple[str, ...]:
    """Protocol, and the bucket, repository or host: what is one owner's."""
    scheme, rest = scheme_of(uri), uri.partition("://")[2]
    if scheme in WEB:
        try:
            return ("http", _host_of(uri).lower(), str(urlsplit(uri).port or ""))
        except ValueError:  # a port that is no number
            return ("http", "", uri)
    deep = _STORES.get(scheme, 1)
    parts = rest.split("/")
    if scheme == "hf" and parts[0] not in _HUB_KINDS:
        deep = 2
    return (_SAME.get(scheme, scheme), *parts[:deep])


def local_path(uri: str) -> str:
    """The path of a local address."""
    return uri.partition("://")[2] if "://" in uri else uri


def resolve(path: str, base: str) -> str:
    """A path of a row against the folder of its manifest; absolute paths and URLs stay.

    Below a remote folder, steps back are taken here: no store knows them.
    """
    if "://" in path or path.startswith("/"):
        return path
    joined = posixpath.join(base, path)
    scheme, separator, rest = joined.partition("://")
    if not separator or ".." not in path.split("/"):
        return joined
    bucket, _, inside = rest.partition("/")
    return f"{scheme}://{posixpath.normpath(posixpath.join('/', bucket, inside)).lstrip('/')}"


@dataclass(frozen=True)
class AddressPolicy:
    """Decides which addresses the rows of one manifest may name.

    Attributes:
        base: folder of the manifest: a local path, or a URL.
        allow: beginnings of addresses that are allowed besides, such as ``s3://other/``,
            ``/data/audio/`` or ``http://10.0.0.5:8000/``.
        tar: the tar or zip that the rows were read from, whose members they name by byte ranges, or
            "".
    """

    base: str = ""
    allow: tuple[str, ...] = ()
    tar: str = ""

    @property
    def is_remote(self) -> bool:
        """Tell whether the manifest came from elsewhere than this machine's disks."""
        return scheme_of(self.base) not in LOCAL

    def check(self, uri: str) -> None:
        """Let an address pass that a row may name.

        Args:
            uri: of `resolve`.

        Raises:
            BadRow: `forbidden_address`; `unreadable_file` for a protocol that is none of a store
                or the web, with what would allow either; `missing_file` where no host is named.
        """
        if why := self.refusal(uri):
            raise BadRow(KIND, f"{quoted(uri)}: {why}; {remedy(uri)}")
        scheme = scheme_of(uri)
        if scheme in (*WEB, *_HOSTS) and not _host_of(uri):
            raise BadRow("missing_file", f"{quoted(uri)}: it names no host; correct the address")
        if scheme not in (*LOCAL, *WEB, *_STORES, *_HOSTS) and not self.allows(uri):
            raise BadRow(
                "unreadable_file",
                f"{quoted(uri)}: protocol {quoted(scheme, 40)} of a row is not followed; use a "
                f"local path, https:// or a store such as s3://; {remedy(uri)}",
            )

    def refusal(self, uri: str) -> str:
        """The reason why an address may not be named; "" when it may."""
        scheme = scheme_of(uri)
        if self.allows(uri):
            return ""
        if scheme in LOCAL:
            return "a local file, named by a manifest from elsewhere" if self.is_remote else ""
        if scheme in WEB:
            return self._refused_host(uri)
        if scheme in _STORES:
            if self.is_remote and (_owner(uri) != _owner(self.base) or ".." in uri.split("/")):
                return "another bucket or repository than the manifest's own"
            return ""
        if scheme in _HOSTS:
            return "a server of another kind" if self.is_remote else self._refused_host(uri)
        return ""  # of a protocol that is not followed at all: `check` tells

    def _refused_host(self, uri: str) -> str:
        host = _host_of(uri)
        if not host or self.is_own_host(uri) or _host_is_public(host):
            return ""
        return "a server of this machine or of a private network"

    def is_own_host(self, uri: str) -> bool:
        """Tell whether a web address is on the server that the manifest itself came from."""
        return scheme_of(self.base) in WEB and _owner(uri) == _owner(self.base)

    def may_be_private(self, uri: str) -> bool:
        """Tell whether a web address may lead to a private network: it is allowed by name, or the
        manifest came from there."""
        return self.allows(uri) or self.is_own_host(uri)

    def allows(self, uri: str) -> bool:
        """Tell whether `allow` names the address."""
        return any(_is_below(uri, prefix) for prefix in self.allow)


def tar_of(name: str) -> str:
    """The tar or zip of an address that our own reader gave to a row, as a result keeps it; ""
    where it is no such address."""
    tar, found, _ = name.partition("#bytes=")
    return tar if found and tar.lower().endswith((".tar", ".zip")) else ""


def remedy(uri: str) -> str:
    """The setting that allows an address, for a message."""
    scheme = scheme_of(uri)
    if scheme in LOCAL:
        where = posixpath.dirname(local_path(uri)) + "/"
    else:
        where = "/".join(uri.split("/")[: 2 + (_STORES.get(scheme, 1))]) + "/"
    return f"if you trust the manifest, `--set input.allow={where}` allows what lies there"


def _is_below(uri: str, prefix: str) -> bool:
    scheme, wanted = scheme_of(uri), scheme_of(prefix)
    if scheme in LOCAL or wanted in LOCAL:
        return scheme in LOCAL and wanted in LOCAL and _is_inside(uri, prefix)
    try:
        where, there = urlsplit(uri), urlsplit(prefix)
        if scheme in WEB:  # a login does not change who is asked
            hosts = (where.hostname, where.port), (there.hostname, there.port)
        else:  # of a store all of it is one name, container@account too
            hosts = (where.netloc, None), (there.netloc, None)
        same = _SAME.get(scheme, scheme) == _SAME.get(wanted, wanted) and hosts[0] == hosts[1]
    except ValueError:
        return False
    path, begin = where.path or "/", there.path.rstrip("/")
    return same and not _steps_back(path) and (path == begin or path.startswith(begin + "/"))


def _steps_back(path: str) -> bool:
    """Tell whether a path holds a step back, in any spelling that some server reads."""
    plain = path.lower()
    for written, sign in (("%25", "%"), ("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/")):
        plain = plain.replace(written, sign)
    return ".." in plain.split("/")


def _is_inside(uri: str, prefix: str) -> bool:
    """Tell whether a local path, with its links followed, is a folder or lies below it."""
    folder = os.path.realpath(local_path(prefix))
    path = os.path.realpath(local_path(uri))
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def refused_names(
    names: Iterable[str | None], policy: AddressPolicy, known: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """The addresses among names of a manifest that may not be named, each with why.

    Args:
        names: what a column holds, as it stands there.
        policy: of that manifest.
        known: verdicts by bucket or host, kept between calls: a manifest names few of them.

    Yields:
        address and reason.
    """
    for name in names:
        if not isinstance(name, str) or not (policy.is_remote or "://" in name):
            continue
        uri = resolve(name, policy.base)
        # a verdict on a local path, or where something is allowed, is one on that address alone
        alike = scheme_of(uri) not in LOCAL and not policy.allow
        root = "/".join(uri.split("/")[:5]) if alike else ""
        why = known.get(root) if root else None
        if why is None:
            why = policy.refusal(uri)
            if root:
                known[root] = why
        if why:
            yield uri, why
