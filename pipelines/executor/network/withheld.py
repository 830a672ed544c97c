"""What processes of a run do not inherit of the environment: secrets that no stage can need."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"TOKEN(S|_|$)|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|AUTHKEY|DEPLOYKEY"
    r"|SSHPASS|(?<!^)(?<!^OLD)PWD$|(^|_)(PASS|AUTH|PAT|JWT|DSN|KEY)S?(_|$)",
    re.I,
)
_LOGIN_INSIDE = re.compile(r"://[^\s/@]*:[^\s/@]*@")  # as in the addresses of databases
_RAYS_OWN = re.compile(r"^RAY_(?!.*(SECRET|PASSWORD|API_?KEY))")
# what the libraries of stores and hubs read
_STORES = re.compile(
    r"^(AWS|S3|GOOGLE|GCS|GCLOUD|CLOUDSDK|AZURE|ADLFS|HF|HUGGING_?FACE|FSSPEC|OSS|OBS|COS|B2|LAKEFS"
    r"|DATABRICKS|HADOOP|WEBDAV)(_|$)"
)


def is_withheld(name: str, value: str = "") -> bool:
    """Whether a variable of the environment is a secret that no stage can need."""
    if _STORES.search(name) or _RAYS_OWN.search(name) or name.lower().endswith("_proxy"):
        return False
    return bool(_SECRET.search(name) or _LOGIN_INSIDE.search(value))
