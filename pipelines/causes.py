"""Everything that stops a run: one table, which the words of each failure come from.

The place that fails knows which kind it is and says so (`stopped`); nothing is guessed from texts.
``docs/operations.md`` shows this table, and a test holds both equal.
"""

from __future__ import annotations

import errno

from actors.batch.receipt import Fault
from pipelines.errors import GOES_ON, NOTHING_DONE, STAYS, Cause, RunFailed
from uniaudio2.shown import MESSAGE_CHARACTERS, plain_words, shown

INTERRUPTED = Cause(
    "interrupted", "interrupted", "Ctrl-C, or SIGTERM of a batch system", "", GOES_ON
)
RAY_START = Cause(
    "ray_start",
    "Ray's start",
    "no Ray could be started on this machine",
    "`uniaudio2 doctor` looks for the cause",
    NOTHING_DONE,
)
RAY_JOIN = Cause(
    "ray_join",
    "Ray's connection",
    "the cluster of `--address` could not be joined, or a node of it does not answer",
    "see that it runs (`ray status`) and that its ports are open to this machine",
    NOTHING_DONE,
)
RAY_LOST = Cause(
    "ray_lost",
    "Ray's connection",
    "Ray's head, or Ray on this machine, went away during the run",
    "see why it ended (`dmesg` tells of full memory); a cluster has to be started again",
    GOES_ON,
)
RAY = Cause(
    "ray",
    "Ray",
    "Ray gave up the work for a reason of its own, such as actors that do not start",
    "`-v` shows what Ray says",
    GOES_ON,
)
NODE = Cause(
    "node",
    "a node",
    "a node that joined during the run does not see what the others see, and no other is left",
    "put it right, or take it out of the cluster",
    GOES_ON,
)
STORAGE = Cause(
    "storage",
    "storage",
    "OUTPUT could not be written or read",
    "make room or repair it, or check its address, endpoint and permissions",
    GOES_ON,
)
STORAGE_READ = Cause(
    "storage_read",
    "storage",
    "what OUTPUT holds could not be read, by a run or by another command",
    "check its address, endpoint and permissions",
    "the same command tries again",
)
INPUT = Cause(
    "input",
    "the input",
    "INPUT could not be listed or read before the first row",
    "see that all of it can be read from this machine",
    NOTHING_DONE,
)
MODEL = Cause(
    "model",
    "the model",
    "the hub or store of `--model` did not answer",
    "see that it can be reached from this machine",
    NOTHING_DONE,
)
STAGE = Cause(
    "stage",
    "a stage",
    "a stage could not be built where it works, or fails on every unit",
    "`--executor inline` runs the stages in one process, to look closer",
    STAYS,
)
MACHINE = Cause(
    "machine",
    "this machine",
    "this machine ran out of files, memory or temporary space; OUTPUT did not",
    "`uniaudio2 doctor` looks for the cause",
    GOES_ON,
)
MAX_ERRORS = Cause(
    "max_errors",
    "the input",
    "more rows failed than `--max-errors` allows",
    "look at OUTPUT/errors and correct the input",
    GOES_ON,
)
OTHER_RUN = Cause(
    "other_run",
    "another run",
    "another driver took over OUTPUT",
    "let one run at a time write into an OUTPUT",
    "nothing is lost or doubled",
)
CAUSES = (
    INTERRUPTED, RAY_START, RAY_JOIN, RAY_LOST, RAY, NODE, STORAGE, STORAGE_READ, INPUT, MODEL,
    STAGE, MACHINE, MAX_ERRORS, OTHER_RUN,
)  # fmt: skip

_MACHINE = {
    errno.EMFILE: "raise the limit of open files (`ulimit -n 65536`)",
    errno.ENFILE: "raise the system's limit of open files (`sysctl fs.file-max`)",
    errno.ENOMEM: "leave it more memory",
    errno.ENOSPC: "make room, or set TMPDIR to a folder with room",
    errno.EDQUOT: "make room in the quota, or set TMPDIR to another disk",
    errno.EAGAIN: "raise the limit of processes (`ulimit -u`)",
}

_MEMORY = {
    "encode": "encode.batch_size", "generate": "generate.batch", "decode": "decode.batch_size",
}  # fmt: skip


def stopped(cause: Cause, what: str, remedy: str = "") -> RunFailed:
    """The error of a run that a cause stopped, in one line.

    Args:
        cause: a row of the table.
        what: happened, with the value that matters; foreign text is cut, so that the rest shows.
        remedy: what to do; "" takes the table's.
    """
    what = shown(" ".join(what.split()), MESSAGE_CHARACTERS // 2)
    parts = (f"{cause.words}: {what}" if what else cause.words, remedy or cause.remedy, cause.then)
    return RunFailed("; ".join(filter(None, parts)), cause)


def of_stage(what: str, fault: Fault | None = None) -> RunFailed:
    """The error for a stage that cannot do its work.

    Args:
        what: happened, the stage's name included.
        fault: what the stage raised; None where its process ended without a word.
    """
    setting = _MEMORY.get(fault.stage) if fault and fault.kind == "out_of_memory" else None
    return stopped(
        STAGE, what, f"let it have less at once (`--set {setting}=1`)" if setting else ""
    )


def of_unkept(fault: Fault, told: str = "") -> RunFailed | None:
    """The error for results that could not be kept, which no row is to blame for; None for a fault
    of another kind.

    Args:
        fault: that a stage's results met.
        told: begins the line.
    """
    causes = {"storage": STORAGE, "machine": MACHINE}
    cause = causes.get(fault.kind)
    return stopped(cause, told + fault.message) if cause else None


def of_machine(fault: BaseException) -> RunFailed:
    """The error for a fault of this machine itself, such as a limit of open files."""
    number = fault.errno if isinstance(fault, OSError) else None
    if isinstance(fault, MemoryError):
        number = errno.ENOMEM
    return stopped(MACHINE, reason(fault), _MACHINE.get(number or 0, ""))


def is_of_machine(fault: OSError) -> bool:
    """Whether an error can only be one of this machine, whatever was read when it was met."""
    return fault.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def reason(fault: BaseException) -> str:
    """An exception in one line, its class named where the text alone says little."""
    text = plain_words(" ".join(str(fault).split()))
    if isinstance(fault, OSError) and fault.strerror:
        return text
    return f"{type(fault).__name__}: {text}" if text else type(fault).__name__
