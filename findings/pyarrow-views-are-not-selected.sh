#!/usr/bin/env bash
# Columns of `string_view`, which Arrow IPC of other engines holds, are read, cast, joined and written to
# Parquet by pyarrow 26.0.1, but no row of them can be picked: `take`, `filter` (of a table, too), sorting
# and comparing raise ArrowNotImplementedError. A reader that selects rows has to cast first.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 2>/dev/null
cat >"$folder/try.py" <<'PYTHON'
import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

column = pa.array(["yes", "no", None], pa.string_view())
table = pa.table({"text": column})
tried = {
    "cast": lambda: column.cast(pa.string()),
    "concat": lambda: pa.concat_arrays([column, column]),
    "parquet": lambda: pq.write_table(table, io.BytesIO()),
    "take": lambda: column.take(pa.array([0])),
    "filter": lambda: column.filter(pa.array([True, False, True])),
    "table-filter": lambda: table.filter(pc.is_valid(column)),
    "sort": lambda: pc.sort_indices(column),
    "equal": lambda: pc.equal(column, "yes"),
}
done = []
for name, run in tried.items():
    try:
        run()
        done.append(name)
    except pa.ArrowNotImplementedError:
        pass
print(",".join(done))
PYTHON
done=$("$folder/venv/bin/python" "$folder/try.py")
echo "pyarrow 26.0.1 on string_view: $done work; take, filter, table-filter, sort, equal do not"
[ "$done" = "cast,concat,parquet" ]
