#!/usr/bin/env bash
# Ray Data 2.60.0 has a task of a whole CPU look at each table that from_arrow is given, before any
# execution and whatever num_cpus the stages ask for. Where actors hold all but half a CPU of a
# cluster, from_arrow returns as soon as they are gone, and never before: no message, no timeout.
# from_blocks of the same table looks at it in the driver, and the same stages run beside the actors.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[data]==2.60.0" pyarrow==26.0.1 2>/dev/null
cat >"$folder/try.py" <<'PYTHON'
import os
import sys
import threading

import pyarrow as pa
import ray

ray.init(address="local", include_dashboard=False, logging_level="CRITICAL", log_to_driver=False, num_cpus=1)
ray.data.DataContext.get_current().enable_progress_bars = False


@ray.remote(num_cpus=0.5)
class Holder:
    def there(self):
        return True


holder = Holder.remote()
ray.get(holder.there.remote())
threading.Timer(40, lambda: (print("still waiting", flush=True), os._exit(0))).start()
table = pa.table({"a": [1, 2, 3]})
if sys.argv[1] == "from_arrow":
    stream = ray.data.from_arrow(table)
else:
    stream = ray.data.from_blocks([table])
stream = stream.map_batches(lambda batch: batch, batch_format="pyarrow", num_cpus=0.25)
print("rows", sum(len(batch["a"]) for batch in stream.iter_batches()), flush=True)
os._exit(0)
PYTHON
cd "$folder"
export HOME="$folder" RAY_TMPDIR=/tmp RAY_AUTH_MODE=disabled
arrow=$("$folder/venv/bin/python" try.py from_arrow 2>/dev/null | tail -1)
blocks=$("$folder/venv/bin/python" try.py from_blocks 2>/dev/null | tail -1)
echo "ray 2.60.0, half a CPU free: from_arrow: $arrow (40 s); from_blocks: $blocks"
[ "$arrow" = "still waiting" ]
[ "$blocks" = "rows 3" ]
