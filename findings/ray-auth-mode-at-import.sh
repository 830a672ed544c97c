#!/usr/bin/env bash
# Ray 2.60.0 reads RAY_AUTH_MODE when it is imported. Set between the import and ray.init, it reaches
# the servers that ray.init starts, and not the driver that starts them: the driver's own cluster
# refuses it, after retries. Set before the import, the same program works.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0 2>/dev/null
cat >"$folder/try.py" <<'PYTHON'
import os
import sys

MODE = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
if sys.argv[1] == "before":
    os.environ.update(MODE)
import ray

if sys.argv[1] == "after":
    os.environ.update(MODE)
try:
    ray.init(address="local", include_dashboard=False, logging_level="CRITICAL", num_cpus=1)
    print("started", ray.get(ray.remote(lambda: 7).remote()))
except Exception as fault:
    print("refused", "InvalidAuthToken" in str(fault), "'disabled'" in str(fault))
PYTHON
cd "$folder"
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH
export HOME="$folder" RAY_TMPDIR=/tmp
before=$("$folder/venv/bin/python" try.py before 2>/dev/null | tail -1)
after=$("$folder/venv/bin/python" try.py after 2>/dev/null | tail -1)
echo "ray 2.60.0, RAY_AUTH_MODE=token set before the import: $before"
echo "ray 2.60.0, RAY_AUTH_MODE=token set after the import:  $after (token refused, driver's mode 'disabled')"
[ "$before" = "started 7" ]
[ "$after" = "refused True True" ]
