#!/usr/bin/env bash
# An Ogg Vorbis file whose sound fits on one page, as most clips of a second that libsndfile writes:
# FFmpeg 8.1.2 (av 18.1.0) takes 256 samples too many off its end or, of very short ones, leaves
# hundreds that the last page's position excludes. libvorbis's own reader gives what was written.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 soundfile==0.14.0 \
    numpy==2.4.6 2>/dev/null
cat >"$folder/try.py" <<'PYTHON'
import io
import sys

import av
import numpy as np
import soundfile

samples = int(sys.argv[1])
at = np.arange(samples) / 16_000
buffer = io.BytesIO()
wave = 0.3 * np.sin(2 * np.pi * (200 + 300 * at) * at)
soundfile.write(buffer, wave, 16_000, format="OGG", subtype="VORBIS")
theirs = len(soundfile.read(io.BytesIO(buffer.getvalue()))[0])
with av.open(io.BytesIO(buffer.getvalue())) as container:
    decoded = sum(frame.samples for frame in container.decode(audio=0))
print(samples, theirs, decoded)
PYTHON
for written in 700 4800 16000; do
    set -- $("$folder/venv/bin/python" "$folder/try.py" "$written")
    echo "written $1 samples: soundfile 0.14.0 reads $2, av 18.1.0 decodes $3"
    [ "$2" = "$1" ]
    case "$written" in 700) [ "$3" -gt "$1" ] ;; *) [ "$3" = "$(($1 - 256))" ] ;; esac
done
