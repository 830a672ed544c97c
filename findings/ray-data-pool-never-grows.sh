#!/usr/bin/env bash
# Ray Data 2.60.0 grows an actor pool when the tasks at its actors are 1.75 times the calls that they
# run at once. Where an actor runs two calls and may hold three tasks, that is 1.5 at most: a pool
# with min_size=1 and max_size=3 keeps one actor, whatever waits, and says nothing. With room for
# four tasks, the same pool grows to three.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[data]==2.60.0" pyarrow==26.0.1 2>/dev/null
cat >"$folder/try.py" <<'PYTHON'
import os
import sys
import time

import pyarrow as pa
import ray


class Slow:
    def __call__(self, table):
        time.sleep(2)
        return pa.table({"process": [os.getpid()]})


ray.init(address="local", include_dashboard=False, logging_level="CRITICAL", log_to_driver=False, num_cpus=4)
ray.data.DataContext.get_current().enable_progress_bars = False
stream = ray.data.from_arrow([pa.table({"a": [number]}) for number in range(24)]).map_batches(
    Slow,
    batch_size=None,
    batch_format="pyarrow",
    num_cpus=0.1,
    compute=ray.data.ActorPoolStrategy(
        min_size=1,
        max_size=3,
        max_tasks_in_flight_per_actor=int(sys.argv[1]),
        max_concurrent_calls_per_actor=2,
        enable_true_multi_threading=True,
    ),
)
print("actors", len({row["process"] for row in stream.take_all()}))
PYTHON
cd "$folder"
export HOME="$folder" RAY_TMPDIR=/tmp
three=$("$folder/venv/bin/python" try.py 3 2>/dev/null | tail -1)
four=$("$folder/venv/bin/python" try.py 4 2>/dev/null | tail -1)
echo "ray 2.60.0, two calls at once, three tasks at most: $three"
echo "ray 2.60.0, two calls at once, four tasks at most:  $four"
[ "$three" = "actors 1" ]
[ "$four" = "actors 3" ]
