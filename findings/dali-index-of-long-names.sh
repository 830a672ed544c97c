#!/usr/bin/env bash
# `wds2idx` of NVIDIA DALI 2.4.0 writes where the members of a tar lie, for its WebDataset reader. Of a
# member whose name has more than 100 letters, GNU tar writes the name in blocks of its own before the
# header, and reports the first of these as the member's block: the index then says that the sound
# begins where its name does, 1,024 bytes too early, and nothing is told. The wheel is 424 MB; of it
# the one script is run, which needs no GPU.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip download --quiet --disable-pip-version-check --no-deps \
    nvidia-dali-cuda120==2.4.0 2>/dev/null
python3 -c 'import glob, zipfile; zipfile.ZipFile(glob.glob("*.whl")[0]).extract("wds2idx.py")'
mkdir in
long=$(printf 'recording-%.0s' 1 2 3 4 5 6 7 8 9 10 11)
for name in short "$long"; do printf 'RIFF of %s' "${name%%-*}" >"in/$name.wav"; done
tar --create --format=gnu --file a.tar --directory in short.wav "$long.wav"
python3 wds2idx.py a.tar a.idx >/dev/null
at() { tail -c +$(($1 + 1)) a.tar | head -c 9; }
set -- $(sed -n 2p a.idx) $(sed -n 3p a.idx)
echo "GNU $(tar --version | sed -n '1s/.* //p'): where the index says that sounds begin there is"
echo "  '$(at "$2")' of a short name, '$(at "$6")' of a long one, '$(at $(($6 + 1024)))' 1,024 bytes on"
[ "$(at "$2") $(at "$6") $(at $(($6 + 1024)))" = "RIFF of s recording RIFF of r" ]
