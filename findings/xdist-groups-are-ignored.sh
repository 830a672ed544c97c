#!/usr/bin/env bash
# pytest-xdist 3.8.0 keeps tests of one `xdist_group` in one process by a suffix that it puts into
# `item._nodeid`. pytest 9.2.0 makes `nodeid` of something else: with `--dist loadgroup` groups are
# spread over all processes and a fixture that they share is made in each, without a word. With
# pytest 8.4.2 they stay together; `--dist loadfile` keeps files together with either.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/test_group.py" <<'PYTHON'
import os
import time

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(8))
def test_where(number):
    time.sleep(0.3)
    open("seen.txt", "a").write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PYTHON
cd "$folder"
seen=""
for version in 8.4.2 9.2.0; do
    python3 -m venv "venv$version"
    "venv$version/bin/pip" install --quiet --disable-pip-version-check "pytest==$version" pytest-xdist==3.8.0 2>/dev/null
    for way in loadgroup loadfile; do
        rm -f seen.txt
        "venv$version/bin/python" -m pytest -q -p no:cacheprovider -n 2 --dist "$way" test_group.py >/dev/null
        seen="$seen$version/$way:$(sort -u seen.txt | wc -l) "
    done
done
echo "pytest-xdist 3.8.0, processes that had tests of one group, by pytest and --dist: $seen"
[ "$seen" = "8.4.2/loadgroup:1 8.4.2/loadfile:1 9.2.0/loadgroup:2 9.2.0/loadfile:1 " ]
