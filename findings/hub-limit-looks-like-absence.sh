#!/usr/bin/env bash
# A hub that limits how often it is asked answers 429. HfFileSystem of huggingface_hub 2.4.0 raises an
# error of HTTP when it is asked for a file's facts then, but `exists` and `isdir`, which fsspec 2026.9.0
# builds on that, turn it into False: whoever asks first whether a file is there takes one that is for
# one that is not. Shown with a server of this machine in the hub's place.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check huggingface_hub==2.4.0 \
    fsspec==2026.9.0 2>/dev/null
cat >"$folder/try.py" <<'PYTHON'
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Limits(BaseHTTPRequestHandler):
    def answer(self):
        self.send_response(429)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = answer

    def log_message(self, *given):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Limits)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
from huggingface_hub import HfFileSystem

files = HfFileSystem(skip_instance_cache=True)
path = "datasets/some/corpus/data/train.parquet"
try:
    files.info(path)
    told = "facts"
except Exception as fault:
    told = type(fault).__name__
print(told, files.exists(path), files.isdir("datasets/some/corpus/data"))
PYTHON
set -- $(timeout 200 "$folder/venv/bin/python" "$folder/try.py" 2>/dev/null)
echo "info raises $1; exists: $2, isdir: $3"
[ "$2 $3" = "False False" ] && [ "$1" != facts ] && [ "$1" != FileNotFoundError ]
