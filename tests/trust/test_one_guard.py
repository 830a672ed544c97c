"""Addresses go through one policy: what goes around it is found in the tree itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("actors", "pipelines", "uniaudio2")
# what opens addresses without asking who named them, and who may: with the reason
_UNGUARDED = {
    "fsspec", "urllib3", "urllib.request", "requests", "httpx", "aiohttp", "http.client", "boto3",
    "huggingface_hub",
    "actors.storage.file_systems.split_uri", "actors.storage.file_systems.read_uri",
}  # fmt: skip
MAY = {
    "actors/storage/file_systems.py": "defines them",
    "actors/storage/object_store.py": "OUTPUT, which the user names",
    "actors/storage/fetch.py": "asks the policy first",
    "actors/storage/block_reader.py": "names no address: `fetch` gives it one that was judged",
    "actors/storage/web_connections.py": "judges who answers; `web` judges the address",
    "actors/storage/web.py": "asks the policy for every address and redirect",
    "actors/storage/model_cache.py": "models, which the user names",
    "actors/storage/model_hub.py": "models, which the user names",
    "actors/columnar/arrow_stream.py": "files of INPUT, which the user names",
    "pipelines/cli/checks/network.py": "reads proxies of the environment, opens nothing",
    "pipelines/manifest/discovery.py": "INPUT, which the user names",
    "pipelines/manifest/corpus_sources.py": "INPUT, which the user names",
    "pipelines/manifest/files.py": "INPUT, which the user names",
    "pipelines/manifest/folder.py": "INPUT, which the user names",
    "pipelines/manifest/tar_sources.py": "INPUT, which the user names",
    "pipelines/manifest/sources.py": "INPUT, which the user names",
    "actors/prefetch/ranges.py": "files of INPUT, which the user names",
    "actors/prefetch/sparse_reader.py": "archives of INPUT, which the user names",
    "actors/columnar/file_rows.py": "files of INPUT, which the user names",
    "actors/columnar/chunk_sizes.py": "files of INPUT, which the user names",
    "pipelines/executor/nodes/store_clock.py": "the store of OUTPUT, without credentials",
    "pipelines/planning/file_stamps.py": "asks the policy for every address",
    "pipelines/export/card.py": "makes a card's head of what it is given, without the hub",
    "pipelines/export/row.py": "behind the policy's check",
}
# `fetch` and `open_uri` without a policy are for addresses that the user typed
TYPED_BY_THE_USER = {
    "actors/storage/fetch.py",  # read_head, which is for these alone
    "pipelines/config/asked.py",
    "pipelines/manifest/files.py",
    "pipelines/manifest/folder.py",
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module and every name that a file imports, in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_who_opens_addresses() -> None:
    found = {
        name
        for name, tree in sources()
        for one in imported(tree)
        if one in _UNGUARDED or (one.split(".")[0] in _UNGUARDED and "implementations" not in one)
    }
    assert found - set(MAY) == set(), "ask actors.storage.fetch with a policy, or say here why not"


def test_rows_are_fetched_with_a_policy() -> None:
    bare = set()
    for name, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in ("fetch", "open_uri", "open_web"):
                given = len(node.args) + len(node.keywords)
                named = {keyword.arg for keyword in node.keywords}
                if given < 3 and "policy" not in named:
                    bare.add(name)
    assert bare - TYPED_BY_THE_USER == set()
