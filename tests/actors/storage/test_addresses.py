"""What rows may name."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.storage.addresses import AddressPolicy, is_public, refused_names, resolve, tar_of
from uniaudio2.errors import BadRow

LOCAL = "/data"
BUCKET = "s3://mine/set"
HUB = "hf://datasets/org/set"
WEB = "https://corpus.example/set"


@pytest.mark.parametrize(
    ("base", "uri", "may"),
    [
        (LOCAL, "/anywhere/a.wav", True),
        (LOCAL, "file:///anywhere/a.wav", True),
        (LOCAL, "s3://any/a.wav", True),
        (LOCAL, "gs://any/a.wav", True),
        (LOCAL, "hf://datasets/any/set/a.wav", True),
        (LOCAL, "https://any.example/a.wav", True),
        (LOCAL, "http://93.184.216.34/a.wav", True),
        (LOCAL, "ftp://any.example/a.wav", True),
        (LOCAL, "http://localhost/a.wav", False),
        (LOCAL, "http://LOCALHOST./a.wav", False),
        (LOCAL, "http://127.0.0.1:8265/a", False),
        (LOCAL, "http://127.1/a", False),
        (LOCAL, "http://0x7f000001/a", False),
        (LOCAL, "http://2130706433/a", False),
        (LOCAL, "http://0/a", False),
        (LOCAL, "http://[::1]/a", False),
        (LOCAL, "http://[::ffff:10.0.0.1]/a", False),
        (LOCAL, "http://[64:ff9b::a9fe:a9fe]/a", False),
        (LOCAL, "http://[fd00:ec2::254]/latest", False),
        (LOCAL, "http://169.254.169.254/latest", False),
        (LOCAL, "http://168.63.129.16/", False),
        (LOCAL, "http://100.100.100.200/", False),
        (LOCAL, "http://10.1.2.3/a", False),
        (LOCAL, "http://user@10.1.2.3/a", False),
        (LOCAL, "http://public.example@10.1.2.3/a", False),
        (LOCAL, "HTTP://192.168.0.1/a", False),
        (LOCAL, "http://metadata.google.internal/a", False),
        (LOCAL, "ftp://10.0.0.1/a", False),
        (BUCKET, "s3://mine/other/a.wav", True),
        (BUCKET, "s3a://mine/other/a.wav", True),
        (BUCKET, "https://any.example/a.wav", True),
        (BUCKET, "s3://theirs/a.wav", False),
        (BUCKET, "s3://mine/../theirs/a.wav", False),
        (HUB, "hf://datasets/org/set/../../org/other/a.wav", False),
        (BUCKET, "gs://mine/a.wav", False),
        (BUCKET, "/etc/passwd", False),
        (BUCKET, "file:///etc/passwd", False),
        (BUCKET, "FILE:///etc/passwd", False),
        (BUCKET, "local:///etc/passwd", False),
        (BUCKET, "http://127.0.0.1/a", False),
        (BUCKET, "ftp://any.example/a", False),
        (HUB, "hf://datasets/org/set/a.wav", True),
        (HUB, "hf://datasets/org/other/a.wav", False),
        ("hf://org/model/x", "hf://org/model/a.wav", True),
        ("hf://org/model/x", "hf://org/other/a.wav", False),
        (WEB, "https://corpus.example/a.wav", True),
        (WEB, "s3://any/a.wav", False),
        ("http://10.0.0.5:8000/set", "http://10.0.0.5:8000/a.wav", True),
        ("http://10.0.0.5:8000/set", "http://10.0.0.5:9000/a.wav", False),
        ("http://10.0.0.5:8000/set", "http://10.0.0.6:8000/a.wav", False),
    ],
)
def test_what_may_be_named(base: str, uri: str, may: bool) -> None:
    policy = AddressPolicy(base)
    if may:
        policy.check(uri)
        return
    with pytest.raises(BadRow, match=r"--set input\.allow=") as caught:
        policy.check(uri)
    assert caught.value.kind == "forbidden_address"


@pytest.mark.parametrize("uri", ["http://[half/a", "http:///a", "ftp://", "https://:80/"])
def test_a_host_that_is_none_costs_its_row_alone(uri: str) -> None:
    with pytest.raises(BadRow) as caught:
        AddressPolicy(LOCAL).check(uri)
    assert caught.value.kind == "missing_file"
    assert list(refused_names([uri], AddressPolicy(LOCAL), {})) == []


def test_a_protocol_that_is_allowed_by_name() -> None:
    AddressPolicy(BUCKET, ("memory://a/",)).check("memory://a/b.wav")


@pytest.mark.parametrize("base", [LOCAL, BUCKET])
@pytest.mark.parametrize(
    "uri",
    ["memory://a", "github://org:repo@main/a", "simplecache::s3://any/a", "reference://x",
     "zip://a::file:///etc/x.zip", "nosuch://x", "git:///x:y"],
)  # fmt: skip
def test_other_protocols_are_not_followed_and_stop_nobody(base: str, uri: str) -> None:
    with pytest.raises(BadRow, match="is not followed") as caught:
        AddressPolicy(base).check(uri)
    assert caught.value.kind == "unreadable_file"
    assert list(refused_names([uri], AddressPolicy(base), {})) == []


@pytest.mark.parametrize(
    ("allow", "uri", "may"),
    [
        ("s3://theirs/", "s3://theirs/a.wav", True),
        ("s3://theirs", "s3://theirs/a.wav", True),
        ("s3://theirs/a", "s3://theirs/ab/c.wav", False),
        ("s3://theirs/a/", "s3://theirs/a/../b.wav", False),
        ("s3://their", "s3://theirs/a.wav", False),
        ("s3://theirs/", "s3://evil@theirs/a.wav", False),
        ("abfs://open@acct/", "abfs://open@acct/a.wav", True),
        ("abfs://open@acct/", "abfs://closed@acct/a.wav", False),
        ("http://10.0.0.5:8000/x/", "http://me@10.0.0.5:8000/x/a", True),
        ("http://10.0.0.5:8000/x/", "http://10.0.0.5:8000/x/..%2fy", False),
        ("http://10.0.0.5:8000/x/", "http://10.0.0.5:8000/x/%252e%252e/y", False),
        ("http://10.0.0.5:8000/x/", "http://10.0.0.5:8000/x/a", True),
        ("http://10.0.0.5:8000/x/", "http://10.0.0.5:8000/x/%2e%2e/y", False),
        ("http://10.0.0.5:8000/", "http://10.0.0.5/a", False),
        ("http://10.0.0.5/", "http://10.0.0.5.evil.example:80/a", True),  # a public one
        ("http://10.0.0.5/", "http://10.0.0.5@10.0.0.6/a", False),
    ],
)
def test_what_is_allowed_by_name(allow: str, uri: str, may: bool) -> None:
    assert (AddressPolicy(BUCKET, (allow,)).refusal(uri) == "") is may


def test_a_local_folder_that_is_allowed_is_not_left(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    policy = AddressPolicy(BUCKET, (str(inside) + "/",))
    assert policy.refusal(str(inside / "a.wav")) == ""
    assert policy.refusal(f"file://{inside}/a.wav") == ""
    for name in ("../out/a.wav", "link/a.wav"):
        assert policy.refusal(f"{inside}/{name}")
    assert policy.refusal(str(inside) + "side/a.wav")


@pytest.mark.parametrize(
    ("path", "base", "wanted"),
    [
        ("a.wav", "/d", "/d/a.wav"),
        ("../a.wav", "/d/e", "/d/e/../a.wav"),
        ("../b/a.wav", "s3://mine/set", "s3://mine/b/a.wav"),
        ("../../theirs/a.wav", "s3://mine/set", "s3://theirs/a.wav"),
        ("/a.wav", "s3://mine/set", "/a.wav"),
        ("a#b.wav", "s3://mine", "s3://mine/a#b.wav"),
    ],
)
def test_names_against_their_manifest(path: str, base: str, wanted: str) -> None:
    assert resolve(path, base) == wanted


def test_a_step_out_of_the_bucket_is_another_place() -> None:
    policy = AddressPolicy(BUCKET)
    found = list(refused_names(["a.wav", "../../theirs/x", None, "/etc/x"], policy, {}))
    assert [uri for uri, _ in found] == ["s3://theirs/x", "/etc/x"]


@given(st.ip_addresses())
def test_no_number_is_public_that_is_not_global(address: ipaddress.IPv4Address) -> None:
    if is_public(str(address)):
        assert address.is_global
        assert not address.is_link_local
        assert not address.is_loopback


def test_addresses_of_our_own_tar_reader() -> None:
    assert tar_of("s3://b/a.tar#bytes=1+2") == "s3://b/a.tar"
    assert tar_of("/etc/passwd#bytes=1+2") == tar_of("/a.tar") == ""
