"""Tasks of the user's own: what follows from a file, and what it gets to hear about mistakes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uniaudio2.tasks.task_file import is_task_file, parse_task

GOOD = """
instruction: Which emotion is in this voice?
prompt:
  - {kind: text, text: One word.}
  - {kind: audio_prompt, column: voice}
  - {kind: audio, column: audio}
  - {kind: text, column: hint, tag: caption}
output: text
max_frames: 20
"""
AUDIO = "prompt: [{kind: audio, column: audio}]\n"


def test_inputs_and_stages_follow_from_the_prompt() -> None:
    task = parse_task(GOOD, "s3://somewhere/emotion.yaml")
    assert task.name == "emotion"
    assert task.columns == ("voice", "audio", "hint")
    assert (task.audio_columns, task.other_audio) == (("voice", "audio"), ("voice",))
    assert task.text_columns == ("hint",)
    assert task.stages == ("load", "encode", "generate")
    assert task.layout == "TP 'One word.' AP(voice) R(audio) S(audio) <caption>{hint}</caption>"
    spoken = parse_task(AUDIO + "output: audio\nanswer: [reason, recon, reason, recon]", "two.yml")
    assert spoken.stages == ("load", "encode", "generate", "decode")
    assert (spoken.sounds, spoken.yields) == (2, "audio: R S R S")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("promt: []\noutput: text", "unknown key 'promt'; did you mean 'prompt'"),
        ("prompt: [{kind: audi, column: audio}]\noutput: text", "kind: 'audi'.*'audio'"),
        (
            "prompt: [{kind: text, colum: a}]\noutput: text",
            "prompt.0: unknown key 'colum'.*'column'",
        ),
        ("prompt: [{kind: text}]\noutput: text", "neither column and text; give one"),
        ("prompt: [{kind: text, column: a, text: b}]\noutput: text", "both column and text"),
        ("prompt: [{kind: audio, text: b}]\noutput: text", "for items of kind 'text'"),
        ("prompt: [{kind: audio, column: voice}]\noutput: text", "from voice; call one of them"),
        ("prompt: [{kind: text, column: instruction}]\noutput: text", "another name"),
        (AUDIO + "output: txt", "output: 'txt' is unknown; did you mean 'text'"),
        (AUDIO, "output: Field required"),
        (AUDIO + "output: audio\nanswer: [reason]", "holds no sound"),
        (AUDIO + "output: codes\nanswer: [recon, reason]", "must be"),
        (AUDIO + "output: text\nanswer: [reason]", "leave it out"),
        (AUDIO + "output: audio\noutput_tag: caption", "is for text; output is audio"),
        (AUDIO + "output: text\nmax_frames: 0", "greater than 0"),
        (AUDIO + "output: text\nname: asr", "'asr' is that of a built-in task"),
        (AUDIO + "output: text\naliases: [TTS]", "'TTS' is that of a built-in task"),
        (AUDIO + "output: text\nname: ../x", "must be a letter"),
        (AUDIO + "output: text\ncolumns: [text]", "are not those of the prompt"),
        (AUDIO + "output: text\nstages: [load]", "stages follow"),
        (AUDIO + "output: text\nfallback: {text: caption}", "columns that the task reads"),
        ("output: text", "has no prompt"),
        ("output: text\ncolumns: [text]", "there is no prompt"),
        ("- a", "holds a list; a mapping"),
        ("a: [", "it is no YAML: line 1, column 5"),
        ("1: 2", "unknown key"),
    ],
)
def test_mistakes_name_file_rule_and_remedy(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_task(text, "x/my.yaml")
    assert "x/my.yaml" in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_refused_with_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"task my\.yaml"):
        parse_task(text, "my.yaml")


def test_what_is_a_file() -> None:
    assert is_task_file("a/b.YAML") and is_task_file("x.yml")
    assert not is_task_file("asr")
