#!/usr/bin/env bash
# The same MP3 with a LAME tag, through a file object that can seek and through one that only reads,
# as a download is: FFmpeg 8.1.2 (av 18.1.0) drops the padding at the end of the first alone, and the
# second is 875 samples longer (one second at 44.1 kHz).
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


class Download:
    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def samples(file: object) -> int:
    with av.open(file) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


buffer = io.BytesIO()
soundfile.write(buffer, 0.3 * np.sin(np.arange(44_100) * 0.05), 44_100, format="MP3")
print(samples(io.BytesIO(buffer.getvalue())), samples(Download(buffer.getvalue())))
PYTHON
set -- $("$folder/venv/bin/python" "$folder/try.py")
echo "44100 samples written: $1 with seek, $2 without"
[ "$1 $2" = "44100 44975" ]
