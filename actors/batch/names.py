"""Columns by name: those of manifests that mean something, and those that stages add."""

from __future__ import annotations

FOLDER = "_tokens"  # of OUTPUT, where what stages made of a unit is kept
ATTEMPTS_FOLDER = "_attempts"  # and where rows wait that are to be made again
ATTEMPT_NAME = rf"{ATTEMPTS_FOLDER}/\d{{8}}-[0-9a-f]{{16}}\.arrow"  # a path there

# ---- columns of manifests ---------------------------------------------------------------------

# what a reader of manifests says of a row that it could not read
FAULT_COLUMN = "_manifest_fault"
# what names or holds a row's audio, the first that has a value; the second is NeMo's
AUDIO_COLUMNS = ("audio", "audio_filepath")
# the sampling rate in Hz of samples that a manifest holds itself
RATE_COLUMNS = ("sampling_rate", "sample_rate")
MOST_CHANNELS = 32  # of a file whose channels are rows, and of samples
# which part of a file is a row's audio
CHANNEL_COLUMNS = ("audio_channel", "channel", "channel_selector")
# those of WAV, FLAC and FFmpeg begin with the left and the right one
NAMED_CHANNELS = {"left": 0, "right": 1, "a": 0, "b": 1}
SPAN_COLUMNS = ("start_s", "end_s", "offset", "duration", *CHANNEL_COLUMNS)
# codes in its place, and what names the files of a published pair
REASON_CODES, RECON_CODES = "reason_codes", "recon_codes"
CODE_COLUMNS = (REASON_CODES, RECON_CODES)
CODE_PATHS = {REASON_CODES: "reason_path", RECON_CODES: "recon_path"}
CODE_SOURCES = (*CODE_PATHS, *CODE_PATHS.values())

# ---- columns of the table that travels --------------------------------------------------------

SPEC, ROWS = "spec", "rows"  # a unit's address, before its rows are read
UNIT, ROW, FINGERPRINT = "unit", "row", "fingerprint"
PLACE = "place"  # the row of the unit, where several may come of it
ID, INPUT = "id", "input"
ERROR_STAGE, ERROR_KIND, ERROR_MESSAGE = "error_stage", "error_kind", "error_message"
ERROR_COLUMNS = (ERROR_STAGE, ERROR_KIND, ERROR_MESSAGE)
WAVE, SOURCE, CUTS, INPUT_SAMPLES = "wave", "source", "cuts", "input_samples"
TEXT, SPANS, FINISH_REASON = "text", "spans", "finish_reason"
PASSAGES = "passages"  # of a long text, as it was spoken
LEVELS = "levels"  # how loud every 10 ms of a row's audio are, or of its spans one after the other
WORDS, SEGMENTS = "words", "segments"  # of a transcript, with their times
VOICE = "voice"  # that a row names, or drew
NO_SPEECH = "no_speech"  # reason to finish where nobody speaks, and the mark that counts it
SPOKEN = "spoken"
MEAN_LOGPROB = "mean_logprob"
CUT_BY_LIMIT = "length"  # the finish reason of an answer that a limit ended
# what is to be known about how a row's audio was read, see docs/audio-formats.md
INPUT_MIX, INPUT_SHORT_BY_S = "input_mix", "input_short_by_s"
INPUT_DAMAGED_S, INPUT_UNFINISHED = "input_damaged_s", "input_unfinished"
OUTPUT_WAVE = "output_wave"
# behind what `uniaudio2.scores` puts in front of a score; which have none, and why
SCORE_REASONS = "score_reasons"
REFERENCE_FAULT = "reference_fault"  # why a row's reference recording was not loaded
STAGE_TIMES, DONE = "stage_times", "done"
ATTEMPT = "attempt"  # which one of a row this is, in jobs that verify
# columns of data parts that no stage before the last one has
TASK, SEED, MODEL = "task", "seed", "model"
AUDIO_PATH, DURATION_S, INPUT_DURATION_S = "audio_path", "duration_s", "input_duration_s"
# of jobs that verify: attempts made, whether the kept one passes, why not, and those that failed
ATTEMPTS, VERIFIED, VERIFY_REASON = "attempts", "verified", "verify_reason"
FAILED_ATTEMPTS = "failed_attempts"
UNVERIFIED, MADE_AGAIN = "unverified", "made_again"  # what is counted of them
RECEIPT, FAULT = "receipt", "fault"  # what a unit comes to: a table of one row
