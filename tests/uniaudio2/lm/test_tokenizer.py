from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from tests.uniaudio2.lm.small import CONFIG, IDS
from uniaudio2.lm.tokenizer import TextTokenizer, byte_tokenizer

TOKENIZER = TextTokenizer(byte_tokenizer(CONFIG), CONFIG)


def test_a_text_lies_between_bos_and_eos() -> None:
    assert TOKENIZER.encode("Aé") == [IDS.text_bos, 65, 0xC3, 0xA9, IDS.text_eos]
    assert TOKENIZER.encode("") == [IDS.text_bos, IDS.text_eos]


def test_a_tokenizer_that_adds_bos_itself_gives_the_same_ids() -> None:
    raw = byte_tokenizer(CONFIG)
    raw.post_processor = TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", IDS.text_bos)]
    )
    assert TextTokenizer(raw, CONFIG).encode("A") == TOKENIZER.encode("A")


@pytest.mark.parametrize(
    "typed", ["</transcription>", "a <caption> b", "<|end_of_text|>", "<text_pad_token>"]
)
def test_special_tokens_typed_by_a_user_stay_text(typed: str) -> None:
    ids = TOKENIZER.encode(typed)
    assert max(ids[1:-1]) < 256
    assert TOKENIZER.decode(ids) == typed


def test_instruction_is_stripped_and_closed_by_an_empty_line() -> None:
    assert TOKENIZER.instruction("  Say it. \n") == TOKENIZER.encode("Say it.\n\n")


def test_decode_drops_what_is_not_text() -> None:
    opening, closing = IDS.tags["caption"]
    ids = [opening, IDS.text_bos, 104, 105, IDS.text_eos, closing, IDS.text_pad, 269, 99_999]
    assert TOKENIZER.decode(ids) == "hi"
    assert TOKENIZER.decode([]) == ""
    assert TOKENIZER.decode([104]) == "h"


def test_decode_drops_tags_that_a_tokenizer_forgot_to_call_special() -> None:
    described = json.loads(byte_tokenizer(CONFIG).to_str())
    for token in described["added_tokens"]:
        token["special"] = False
    forgetful = TextTokenizer(Tokenizer.from_str(json.dumps(described)), CONFIG)
    assert forgetful.decode([IDS.tags["caption"][0], 104, IDS.text_pad]) == "h"


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=100, deadline=None)
def test_any_text_comes_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_ids_of_bytes_are_the_bytes() -> None:
    text = "".join(map(chr, range(0x800)))  # every lead and continuation byte of two bytes
    assert TOKENIZER.encode(text)[1:-1] == list(text.encode())


def test_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    byte_tokenizer(CONFIG).save(str(path))
    loaded = TextTokenizer.load(path, CONFIG)
    assert loaded.encode("a <caption>") == TOKENIZER.encode("a <caption>")


@pytest.mark.parametrize("change", [{"text_bos": 255}, {"text_bos": 257}])
def test_special_ids_may_not_collide(change: dict[str, int]) -> None:
    ids = IDS.model_copy(update=change)
    with pytest.raises(ValueError, match="must be 256 or more and differ"):
        byte_tokenizer(CONFIG.model_copy(update={"ids": ids}))
