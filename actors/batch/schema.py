"""Columns by their names: those of manifests that mean something, and those that stages add."""

# what a reader of manifests says of a row that it could not read
FAULT_COLUMN = "_manifest_fault"
# which part of a file is a row's audio
SPAN_COLUMNS = ("start_s", "end_s", "offset", "duration", "audio_channel")
