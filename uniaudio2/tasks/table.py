"""The one table of tasks: what each reads, how its prompt is laid out and what comes out.

Source: the layouts of the published evaluation scripts and of the training data's formats.
Adding a task is adding an entry.
"""

from __future__ import annotations

from uniaudio2.frozen import nearest
from uniaudio2.tasks.spec import AUDIO, PromptItem, TaskSpec
from uniaudio2.tokens.streams import PAIR

__all__ = ["TASKS", "PromptItem", "TaskSpec", "check_name_is_free", "get_task"]

_AUDIO = PromptItem(kind="audio", column=AUDIO)
_PROMPT = PromptItem(kind="audio_prompt", column=AUDIO)
_TRANSCRIPTION = PromptItem(kind="text", column="text", tag="transcription")
_CAPTION = PromptItem(kind="text", column="caption", tag="caption")
_LYRIC = PromptItem(kind="text", column="lyric", tag="lyric")
_TEXT_SERVES = {"caption": "text"}

_CODEC_TASKS = (
    TaskSpec(
        name="tokenize",
        summary="audio to reasoning and reconstruction codes",
        columns=(AUDIO,),
        output="codes",
    ),
    TaskSpec(
        name="reconstruct",
        summary="audio to codes and back to audio",
        columns=(AUDIO,),
        output="audio",
    ),
    TaskSpec(
        name="detokenize",
        summary="codes to audio",
        columns=("recon_codes",),
        optional=("reason_codes",),
        output="audio",
    ),
)

_SCORE_TASKS = (
    TaskSpec(
        name="score",
        summary="audio to figures of its quality, and of its text",
        columns=(AUDIO,),
        optional=("text",),
        output="scores",
    ),
)

_TEXT_TASKS = (
    TaskSpec(
        name="asr",
        summary="speech to text",
        aliases=("ASR",),
        prompt=(_AUDIO,),
        instruction="Write down the words that are spoken in this recording.",
        output="text",
        output_tag="transcription",
        greedy=True,
        long_audio="spans",
    ),
    TaskSpec(
        name="yue_asr",
        summary="Cantonese speech to text",
        aliases=("Yue_ASR",),
        prompt=(_AUDIO,),
        instruction="Write down the Cantonese words that are spoken in this recording.",
        output="text",
        output_tag="transcription",
        greedy=True,
        long_audio="spans",
    ),
    TaskSpec(
        name="dysarthric_asr",
        summary="speech that is hard to make out to text",
        aliases=("D_ASR",),
        prompt=(_AUDIO,),
        instruction="Write down what this speaker says, even where it is hard to make out.",
        output="text",
        output_tag="transcription",
        greedy=True,
        long_audio="spans",
    ),
    TaskSpec(
        name="lyric_recognition",
        summary="song to its lyric",
        prompt=(_AUDIO,),
        instruction="Write down the words that are sung in this recording.",
        output="text",
        output_tag="lyric",
        greedy=True,
        long_audio="spans",
    ),
    TaskSpec(
        name="audio_caption",
        summary="sound to a sentence that describes it",
        prompt=(_AUDIO,),
        instruction="Describe in one sentence what can be heard in this recording.",
        output="text",
        output_tag="caption",
        greedy=True,
    ),
    TaskSpec(
        name="music_caption",
        summary="music to a sentence that describes it",
        prompt=(_AUDIO,),
        instruction="Describe in one sentence the music in this recording.",
        output="text",
        output_tag="caption",
        greedy=True,
    ),
    TaskSpec(
        name="audio_understanding",
        summary="audio and a question to an answer",
        prompt=(PromptItem(kind="text", column="question"), _AUDIO),
        instruction="Answer the question about this recording.",
        output="text",
        greedy=True,
    ),
    TaskSpec(
        name="speech_s2t",
        summary="spoken request to written answer (sampled, as published)",
        prompt=(_AUDIO,),
        instruction="Listen, then answer in writing.",
        output="text",
    ),
    TaskSpec(
        name="text_only",
        summary="text to how it goes on",
        prompt=(PromptItem(kind="text", column="text", open=True),),
        output="text",
    ),
)

_AUDIO_TASKS = (
    TaskSpec(
        name="tts",
        summary="text to speech",
        aliases=("TTS",),
        prompt=(_TRANSCRIPTION,),
        instruction="Say the following text aloud.",
        output="audio",
    ),
    TaskSpec(
        name="yue_tts",
        summary="text to Cantonese speech",
        aliases=("Yue_TTS",),
        prompt=(_TRANSCRIPTION,),
        instruction="Say the following text aloud in Cantonese.",
        output="audio",
    ),
    TaskSpec(
        name="tta",
        summary="caption to sound",
        aliases=("TTA",),
        fallback=_TEXT_SERVES,
        prompt=(_CAPTION,),
        instruction="Make the sound that this caption describes.",
        output="audio",
    ),
    TaskSpec(
        name="ttm",
        summary="caption to music",
        aliases=("TTM",),
        fallback=_TEXT_SERVES,
        prompt=(_CAPTION,),
        instruction="Make the music that this caption describes.",
        output="audio",
    ),
    TaskSpec(
        name="lts",
        summary="lyric to song",
        aliases=("LTS",),
        fallback={"lyric": "text"},
        prompt=(_LYRIC,),
        instruction="Sing a song with these lyrics.",
        output="audio",
    ),
    TaskSpec(
        name="prompt_lts",
        summary="audio prompt and lyric to song in its manner",
        aliases=("prompt_song", "Prompt_LTS"),
        fallback={"lyric": "text"},
        prompt=(_PROMPT, _LYRIC),
        instruction="Sing these lyrics in the manner of the recording.",
        output="audio",
    ),
    TaskSpec(
        name="instruct_tts",
        summary="description of a voice and text to speech",
        aliases=("InstructTTS", "instructtts"),
        prompt=(_CAPTION, _TRANSCRIPTION),
        instruction="Say the text in the voice that is described.",
        output="audio",
    ),
    TaskSpec(
        name="prompt_instruct_tts",
        summary="audio prompt, description of a voice and text to speech",
        aliases=("Prompt_InstructTTS",),
        prompt=(_PROMPT, _CAPTION, _TRANSCRIPTION),
        instruction="Say the text with the voice of the recording, in the way that is described.",
        output="audio",
    ),
    TaskSpec(
        name="speech_s2s",
        summary="spoken request to spoken answer",
        prompt=(_AUDIO,),
        instruction="Listen, then answer in speech.",
        output="audio",
    ),
    TaskSpec(
        name="speech_edit",
        summary="speech and new text to edited speech",
        prompt=(PromptItem(kind="text", column="text"), _AUDIO),
        instruction="Say this recording again with the new text.",
        output="audio",
    ),
    TaskSpec(
        name="speech_denoise",
        summary="noisy speech to clean speech",
        prompt=(_AUDIO,),
        instruction="Take the noise out of this recording and keep the speech.",
        output="audio",
    ),
    TaskSpec(
        name="speech_separation",
        summary="two voices at once to each of them",
        aliases=("speech_ss",),
        prompt=(_AUDIO,),
        instruction="Two people speak in this recording. Give each voice by itself.",
        output="audio",
        answer=PAIR * 2,
    ),
    TaskSpec(
        name="music_separation",
        summary="music to its two sources, such as voice and instruments",
        aliases=("music_ss",),
        prompt=(_AUDIO,),
        instruction="Two sources are mixed in this music. Give each of them by itself.",
        output="audio",
        answer=PAIR * 2,
    ),
    TaskSpec(
        name="audio_only",
        summary="audio to more of it (no instruction, as in pre-training)",
        prompt=(_AUDIO,),
        output="audio",
    ),
    TaskSpec(
        name="reason_to_semantic",
        summary="reasoning codes of audio to reconstruction codes and sound",
        prompt=(PromptItem(kind="reason", column=AUDIO),),
        instruction="Turn these reasoning tokens into reconstruction tokens.",
        output="audio",
        answer=("recon",),
    ),
    TaskSpec(
        name="semantic_to_reason",
        summary="reconstruction codes of audio to reasoning codes",
        prompt=(PromptItem(kind="recon", column=AUDIO),),
        instruction="Turn these reconstruction tokens into reasoning tokens.",
        output="codes",
        answer=("reason",),
    ),
    TaskSpec(
        name="semantic_copy",
        summary="audio to its reconstruction codes again, through the language model",
        prompt=(_AUDIO,),
        instruction="Repeat the reconstruction tokens of this recording.",
        output="audio",
        answer=("recon",),
    ),
    TaskSpec(
        name="reason_copy",
        summary="audio to its reasoning codes again, through the language model",
        prompt=(_AUDIO,),
        instruction="Repeat the reasoning tokens of this recording.",
        output="codes",
        answer=("reason",),
    ),
)

TASKS: dict[str, TaskSpec] = {
    task.name: task for task in (*_CODEC_TASKS, *_SCORE_TASKS, *_TEXT_TASKS, *_AUDIO_TASKS)
}
_ALIASES = {alias: task.name for task in TASKS.values() for alias in task.aliases}


def get_task(name: str) -> TaskSpec:
    """Look a task up by its name or a published spelling of it.

    Raises:
        ValueError: no such task; the message names the nearest ones.
    """
    task = TASKS.get(name) or TASKS.get(_ALIASES.get(name, ""))
    if task is None:
        raise ValueError(f"unknown task {name!r}; {nearest(name, [*TASKS, *_ALIASES])}")
    return task


def check_name_is_free(name: str) -> None:
    """Refuse a name that means a task of the table.

    Raises:
        ValueError: it does.
    """
    if name in TASKS or name in _ALIASES:
        raise ValueError(f"name {name!r} is that of a built-in task; choose another")
