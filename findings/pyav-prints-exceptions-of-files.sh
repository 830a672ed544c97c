#!/usr/bin/env bash
# A file object whose read raises, as one of a store that stopped to answer: PyAV 18.1.0 raises the
# exception, as it should, and where FFmpeg asks again before PyAV looks, also prints a traceback to
# stderr, past Python's logging and warnings ("PyAV library exception being dropped").
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 soundfile==0.14.0 \
    numpy==2.4.6 2>/dev/null
cat >"$folder/try.py" <<'PYTHON'
import io

import av
import numpy as np
import soundfile


class Store(io.BytesIO):
    reads = 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        if self.reads > 2:
            raise OSError("no answer")
        return super().read(size)


buffer = io.BytesIO()
soundfile.write(buffer, 0.3 * np.sin(np.arange(441_000) * 0.05), 44_100, format="MP3")
try:
    with av.open(Store(buffer.getvalue() * 5)) as container:
        print(sum(frame.samples for frame in container.decode(audio=0)))
except OSError as fault:
    print(f"raised: {fault}")
PYTHON
raised=$("$folder/venv/bin/python" "$folder/try.py" 2>"$folder/stderr")
printed=$(head -1 "$folder/stderr")
echo "$raised; on stderr: $printed"
[ "$raised" = "raised: no answer" ]
[ "$printed" = "PyAV library exception being dropped:" ]
