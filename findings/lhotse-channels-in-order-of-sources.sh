#!/usr/bin/env bash
# A Lhotse recording of several files says of each which channel it is. `load_audio` of Lhotse 1.33.0
# goes by the order of the files: where channel 1's stands first, its samples are row 0, although
# `channel` of the cut is [0, 1], and asking for channels [0, 1] changes nothing. One channel asked
# for by itself is the right one. With torch this takes some 5 GB.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lhotse==1.33.0 torch==2.14.1 \
    urllib3==2.6.0 soundfile==0.14.0 numpy==2.4.6 2>/dev/null
cd "$folder"
cat >try.py <<'PYTHON'
import numpy as np
import soundfile
from lhotse import Recording
from lhotse.audio import AudioSource

for channel, level in ((0, 0.25), (1, 0.5)):
    soundfile.write(f"ch{channel}.wav", np.full(16_000, level), 16_000)
sources = [AudioSource("file", [n], f"ch{n}.wav") for n in (1, 0)]
recording = Recording("r", sources, 16_000, 16_000, 1.0)
cut = recording.to_cut()
print(",".join(map(str, cut.channel)))
for wave in (cut.load_audio(), recording.load_audio(channels=[0, 1])):
    print(",".join(f"{level:g}" for level in wave.max(axis=1)))
print(f"{recording.load_audio(channels=0).max():g}")
PYTHON
set -- $(venv/bin/python try.py 2>/dev/null)
echo "lhotse 1.33.0: channels $1 of a cut are at $2, asked for at $3; channel 0 alone is at $4"
[ "$1 $2 $3 $4" = "0,1 0.5,0.25 0.5,0.25 0.25" ]
