#!/usr/bin/env bash
# Ray 2.60.0: JobSubmissionClient(address) does not go to the address that it is given where the
# environment has RAY_API_SERVER_ADDRESS or RAY_ADDRESS, as a shell on a cluster's node often has: a
# job that is handed to one cluster by name is run by another. Nothing is said.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[default]==2.60.0" 2>/dev/null
cat >"$folder/try.py" <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from ray.job_submission import JobSubmissionClient


def server(name, asked):
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(name)
            body = json.dumps({"version": "4", "ray_version": "2.60.0", "ray_commit": "x"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    made = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{made.server_port}"


import os

asked = []
given, other = server("given", asked), server("other", asked)
for name in (None, "RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
    if name:
        os.environ[name] = other
    asked.clear()
    JobSubmissionClient(given)
    print(f"{name}={','.join(sorted(set(asked)))}")
    os.environ.pop(name or "", None)
PYTHON
cd "$folder"
unset RAY_API_SERVER_ADDRESS RAY_ADDRESS
export HOME="$folder" RAY_AUTH_MODE=disabled
seen=$("$folder/venv/bin/python" try.py 2>/dev/null | tr '\n' ' ')
echo "ray 2.60.0, who is asked by variable of the environment: $seen"
[ "$seen" = "None=given RAY_API_SERVER_ADDRESS=other RAY_ADDRESS=other " ]
