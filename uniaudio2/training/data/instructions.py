"""Paraphrases of the instructions of nano's tasks, so that it follows more than one."""

from __future__ import annotations

import random

from uniaudio2.tasks.table import TASKS

_OWN_WORDS = 0.5  # share of the prompts that are the task table's own

PARAPHRASES: dict[str, tuple[str, ...]] = {
    "asr": (
        "speech recognition",
        "transcribe the audio",
        "transcribe this recording",
        "what is said here?",
        "turn this speech into text",
        "listen and write down the words",
    ),
    "audio_caption": (
        "audio captioning",
        "describe the sound",
        "describe this recording",
        "what do you hear?",
        "write a caption for this audio",
        "what sounds are in this recording?",
    ),
    "tts": (
        "text to speech",
        "read this aloud",
        "say these words",
        "speak the text",
        "turn this text into speech",
        "read the text with a clear voice",
    ),
    "tta": (
        "text to audio",
        "make this sound",
        "generate the sound of this caption",
        "let me hear this",
        "turn this caption into audio",
        "produce the audio that is described",
    ),
}


def draw_instruction(task: str, rng: random.Random) -> str:
    """Draw the task's own instruction or one of its paraphrases."""
    own = TASKS[task].instruction
    return own if rng.random() < _OWN_WORDS else rng.choice(PARAPHRASES[task])
