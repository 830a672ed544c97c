#!/usr/bin/env bash
# A WAV of a block codec states in its `fact` chunk how many samples it holds, for the last block is
# filled up. libsndfile 1.2.2 (soundfile 0.14.0) writes the number and does not look at it when it
# reads GSM 6.10, nor does FFmpeg 8.1.2 (av 18.1.0): each gives another length, none the one stated.
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

buffer = io.BytesIO()
wave = 0.3 * np.sin(np.arange(20_000) * 0.05)
soundfile.write(buffer, wave, 8000, format="WAV", subtype="GSM610")
data = buffer.getvalue()
at = data.index(b"fact") + 8
stated = int.from_bytes(data[at : at + 4], "little")
theirs = len(soundfile.read(io.BytesIO(data))[0])
with av.open(io.BytesIO(data)) as container:
    decoded = sum(frame.samples for frame in container.decode(audio=0))
print(stated, theirs, decoded)
PYTHON
set -- $("$folder/venv/bin/python" "$folder/try.py")
echo "fact states $1 samples of 20000 written; soundfile 0.14.0 reads $2, av 18.1.0 decodes $3"
[ "$1 $2 $3" = "20000 20480 20160" ]
