#!/usr/bin/env bash
# A cut whose audio Lhotse 1.33.0 itself moved into memory (`move_to_memory`) cannot be written as
# JSON lines: `CutSet.to_file` raises a TypeError. It has written over the file by then, and what it
# leaves ends at a whole line: a manifest of three cuts becomes one of two, which reads without an
# error. Lhotse imports urllib3, which it does not require, so it is installed by hand; with torch
# this takes some 5 GB.
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
from lhotse import CutSet, Recording

cuts = []
for name in ("a.wav", "b.wav", "c.wav"):
    soundfile.write(name, np.zeros(1600), 16_000)
    cuts.append(Recording.from_file(name).to_cut())
CutSet.from_cuts(cuts).to_file("cuts.jsonl")
before = len(CutSet.from_file("cuts.jsonl"))
fault = "none"
try:
    CutSet.from_cuts([*cuts[:2], cuts[2].move_to_memory(audio_format="wav")]).to_file("cuts.jsonl")
except TypeError:
    fault = "TypeError"
print(before, fault, len(CutSet.from_file("cuts.jsonl")))
PYTHON
set -- $(venv/bin/python try.py 2>/dev/null)
echo "lhotse 1.33.0: a manifest of $1 cuts, written over with a cut in memory: $2, $3 cuts are left"
[ "$1 $2 $3" = "3 TypeError 2" ]
