#!/usr/bin/env bash
# WebVTT writes `&`, `<` and `>` of a text as `&amp;`, `&lt;` and `&gt;`, and its readers are to undo
# that. Neither webvtt-py 0.6.0 nor pysubs2 1.8.1 does: both give the escapes for the text, also
# pysubs2's plain one. webvtt-py's `start_in_seconds` of 1.9 s is 1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check webvtt-py==0.6.0 \
    pysubs2==1.8.1 2>/dev/null
cd "$folder"
printf 'WEBVTT\n\n00:00:01.900 --> 00:00:02.500\nQ&amp;A\n' >a.vtt
set -- $(venv/bin/python -c '
import pysubs2
import webvtt

(theirs,) = webvtt.read("a.vtt")
(other,) = pysubs2.load("a.vtt")
print(theirs.text, other.plaintext, theirs.start_in_seconds)
')
echo "Q&A in WebVTT: webvtt-py 0.6.0 reads $1, pysubs2 1.8.1 $2; 1.9 s is $3 to the former"
[ "$1 $2 $3" = "Q&amp;A Q&amp;A 1" ]
