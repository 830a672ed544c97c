"""The one table of scorers. Adding one is adding a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from uniaudio2.frozen import nearest
from uniaudio2.scores.own import check_columns, composed_scorer, is_composed, load_own, own_scorers
from uniaudio2.scores.spec import Score, ScoreColumn, Scorer

__all__ = [
    "ALL", "DEFAULT", "SCORERS", "compares", "counts_tokens", "get_scorer", "get_scorers",
    "score_columns",
]  # fmt: skip

_SILERO = ("onnxruntime", "silero-vad")
_MOS = "1 to 5"
_OURS = "Apache-2.0"


def _of(module: str, name: str) -> Callable[[], Score]:
    """Imports a scorer where it works: the table itself is read before torch is there."""

    def make() -> Score:
        from importlib import import_module

        found: Score = getattr(import_module(f"uniaudio2.scores.{module}"), name)
        return found() if isinstance(found, type) else found

    return make


_ROWS = (
    Scorer(
        name="speech",
        summary="how much of it is speech, by Silero VAD",
        inputs=("sound",),
        columns=(
            ScoreColumn("score_speech_s", "s", "seconds in which somebody speaks"),
            ScoreColumn("score_speech_share", "0 to 1", "their share of the recording"),
        ),
        version="1",
        licence="MIT",
        cost="1 ms",
        make=_of("signal", "score_speech"),
        packages=_SILERO,
        weights="silero-vad",
    ),
    Scorer(
        name="dnsmos",
        summary="how good speech sounds, by DNSMOS P.835 and P.808 at a level of -26 dBFS",
        inputs=("sound",),
        columns=(
            ScoreColumn("score_dnsmos_ovrl", _MOS, "overall"),
            ScoreColumn("score_dnsmos_sig", _MOS, "the voice itself"),
            ScoreColumn("score_dnsmos_bak", _MOS, "how little the background disturbs"),
            ScoreColumn("score_dnsmos_p808", _MOS, "overall, by the model of P.808"),
        ),
        version="1",
        licence="MIT",
        cost="170 ms a window",
        make=_of("dnsmos", "Dnsmos"),
        packages=("onnxruntime", "speechmos", "silero-vad"),
        weights="speechmos",
    ),
    Scorer(
        name="loudness",
        summary="how loud it is, by ITU-R BS.1770-4",
        inputs=("sound",),
        columns=(
            ScoreColumn("score_loudness_lufs", "LUFS", "integrated loudness of one channel"),
            ScoreColumn("score_peak_dbfs", "dBFS", "the highest sample"),
        ),
        version="1",
        licence=_OURS,
        cost="1 ms",
        make=_of("loudness", "score_loudness"),
    ),
    Scorer(
        name="clipping",
        summary="how much of it is cut off at full scale",
        inputs=("sound",),
        columns=(
            ScoreColumn(
                "score_clipped_share", "0 to 1", "samples at 99 % of full scale or above it"
            ),
        ),
        version="1",
        licence=_OURS,
        cost="less than 1 ms",
        make=_of("signal", "score_clipping"),
    ),
    Scorer(
        name="bandwidth",
        summary="up to which frequency there is sound; 12 kHz at most is heard",
        inputs=("sound",),
        columns=(
            ScoreColumn(
                "score_bandwidth_hz", "Hz",
                "highest frequency within 60 dB of the spectrum's maximum",
            ),
        ),
        version="1",
        licence=_OURS,
        cost="less than 1 ms",
        make=_of("signal", "score_bandwidth"),
    ),
    Scorer(
        name="snr",
        summary="speech over what is there when nobody speaks, by Silero VAD",
        inputs=("sound",),
        columns=(ScoreColumn("score_snr_db", "dB", "from -20 to 100"),),
        version="1",
        licence="MIT",
        cost="1 ms, nothing beside `speech`",
        make=_of("signal", "score_snr"),
        packages=_SILERO,
        weights="silero-vad",
    ),
    Scorer(
        name="silence",
        summary="silence at both ends, by level",
        inputs=("sound",),
        columns=(
            ScoreColumn("score_leading_silence_s", "s", "before the first sound"),
            ScoreColumn("score_trailing_silence_s", "s", "behind the last one"),
        ),
        version="1",
        licence=_OURS,
        cost="less than 1 ms",
        make=_of("signal", "score_silence"),
    ),
    Scorer(
        name="rate",
        summary="how fast the text is spoken, by Silero VAD",
        inputs=("sound", "text"),
        columns=(
            ScoreColumn("score_words_per_s", "1/s", "words for each second of speech"),
            ScoreColumn("score_letters_per_s", "1/s", "their letters, without spaces"),
        ),
        version="1",
        licence="MIT",
        cost="1 ms, nothing beside `speech`",
        make=_of("text", "score_rate"),
        packages=_SILERO,
        weights="silero-vad",
    ),
    Scorer(
        name="repetition",
        summary="how much of the transcript, or text, says again what stands directly before it",
        inputs=("any text",),
        columns=(ScoreColumn("score_repetition", "0 to 1", "share of its words"),),
        version="1",
        licence=_OURS,
        cost="nothing",
        make=_of("text", "score_repetition"),
    ),
    Scorer(
        name="wer",
        summary="errors of what the model hears against the text",
        inputs=("text", "transcript"),
        columns=(
            ScoreColumn("score_wer", "0 and more", "word errors over words of the text"),
            ScoreColumn("score_cer", "0 and more", "letter errors over letters of the text"),
        ),
        version="1",
        licence=_OURS,
        cost="a transcription",
        make=_of("text", "score_errors"),
    ),
    Scorer(
        name="speaker_similarity",
        summary="how alike its voice is to that of the reference recording, by the encoder of "
        "Resemblyzer",
        inputs=("sound", "reference"),
        columns=(
            ScoreColumn("score_speaker_similarity", "-1 to 1", "cosine of the two voices"),
        ),
        version="1",
        licence="Apache-2.0",
        cost="3 ms, and of the reference as much",
        make=_of("speaker", "SpeakerSimilarity"),
        packages=("onnxruntime", "silero-vad", "resemblyzer"),
        weights="resemblyzer",
    ),
    Scorer(
        name="logprob",
        summary="how probable the model found the tokens that were drawn",
        inputs=("tokens",),
        columns=(
            ScoreColumn("score_mean_logprob", "nats", "mean log-probability of a token, at most 0"),
        ),
        version="1",
        licence=_OURS,
        cost="nothing; a softmax more for each token drawn",
        make=_of("text", "score_logprob"),
    ),
)  # fmt: skip

SCORERS: dict[str, Scorer] = {scorer.name: scorer for scorer in _ROWS}
ALL = tuple(one.name for one in _ROWS if not {"reference", "tokens"} & {*one.inputs})
"""What `all` stands for: those that need no second recording and no tokens that were drawn; the
extra brings their packages."""
DEFAULT = tuple(scorer.name for scorer in _ROWS if scorer.inputs == ("sound",))
"""What is scored where nothing else is asked for: all that needs sound alone."""


def get_scorer(name: str) -> Scorer:
    """A scorer of the table, one that an installed package brings under that name, or the one that
    is a row of a file, see `uniaudio2.scores.own`.

    Raises:
        ValueError: no such scorer; the message names the nearest.
    """
    if name in SCORERS:
        return SCORERS[name]
    if is_composed(name):
        return composed_scorer(name, SCORERS)
    others = own_scorers()
    if name not in others:
        raise ValueError(f"unknown scorer {name!r}; {nearest(name, [*SCORERS, *others])}")
    return load_own(others[name], score_columns(list(SCORERS)))


def get_scorers(names: Sequence[str]) -> list[Scorer]:
    """Scorers by their names, each once: those of the table in its order, then others by name.

    Raises:
        ValueError: no such scorer, see `get_scorer`, or two fill one column.
    """
    found = {name: get_scorer(name) for name in dict.fromkeys(names)}
    needed = {name for one in found.values() for name in one.needs}
    others = [one for name, one in found.items() if name not in SCORERS]
    # what is made of the figures of others comes behind them
    others.sort(key=lambda one: (one.value is not None, one.name))
    ordered = [one for name, one in SCORERS.items() if name in found or name in needed] + others
    check_columns(ordered)
    return ordered


def compares(names: Sequence[str]) -> bool:
    """Whether one of some scorers compares the sound that it judges with another recording."""
    return any("reference" in scorer.inputs for scorer in get_scorers(names))


def score_columns(names: Sequence[str]) -> list[str]:
    """The columns that scorers fill, in the order of the table."""
    return [column.name for scorer in get_scorers(names) for column in scorer.columns]


def counts_tokens(names: Sequence[str]) -> bool:
    """Whether some scorer asks how probable drawn tokens were."""
    return any("tokens" in one.inputs for one in get_scorers(names))
