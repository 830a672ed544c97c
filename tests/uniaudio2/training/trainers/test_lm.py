from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import torch

from tests.uniaudio2.training.clips import encoded_clips
from uniaudio2.checkpoint.folders import load_config, model_folder
from uniaudio2.lm.tokenizer import TextTokenizer
from uniaudio2.tokens.grid import TEXT_COLUMN, Prompt
from uniaudio2.training.data.domain import SYMBOLS
from uniaudio2.training.data.tokens import train_tokenizer
from uniaudio2.training.trainers.lm import ExampleMaker, LmTrainer

CONFIG = load_config(model_folder("tiny")).lm

# clips 0 and 1 hold two words, or one event; the others have not been aligned
ENDS = {0: [2, 3], 1: [3, 5]}


def maker() -> ExampleMaker:
    tokenizer = TextTokenizer(train_tokenizer(CONFIG), CONFIG)
    return ExampleMaker(encoded_clips(8), tokenizer, CONFIG, ENDS)


def test_answers_are_what_generation_would_have_to_give() -> None:
    kinds = set()
    for seed in range(40):
        example = maker().draw(random.Random(seed))
        tokens = example.answer.tokens
        if int(tokens[0, TEXT_COLUMN]):
            first, second, last = (int(tokens[row, TEXT_COLUMN]) for row in (0, 1, -1))
            assert first in {opening for opening, _ in CONFIG.ids.tags.values()}
            assert (second, last) == (CONFIG.ids.text_bos, CONFIG.ids.text_eos)
            kinds.add("text")
        else:
            assert bool((tokens[0, :8] == CONFIG.ids.reason_bos).all())
            stop = CONFIG.ids.semantic_eos + CONFIG.reason_card
            assert bool((tokens[-1, :8] == stop).all())
            kinds.add("audio")
    assert kinds == {"text", "audio"}


def test_an_answer_knows_which_word_it_is_in() -> None:
    yes, no = (SYMBOLS.index(word) + 1 for word in ("yes", "no"))
    clip = next(c for c in encoded_clips(8) if c.is_speech and c.number == 0)
    reasons, recons = len(clip.codes.reason), len(clip.codes.recon)
    made = (maker().draw(random.Random(seed)) for seed in range(400))
    audio = [e for e in made if not int(e.answer.tokens[0, TEXT_COLUMN])]
    told = [
        e.place.tolist()
        for e in audio
        if torch.equal(e.answer.tokens[1 : 1 + reasons, :8], clip.codes.reason)
        and len(e.answer) == reasons + recons + 4
    ]
    # reconstruction frames 0..2 lie in the first word, 3 in the second, then nothing is left;
    # reasoning frames are two and a half times as long
    assert recons == 5
    expected = [-100, yes, no, 0, -100, -100, yes, yes, yes, no, 0, -100]
    assert expected in told
    # an unconditional prompt leaves nothing to be in
    assert [-100] * len(expected) in told
    assert all(place in (expected, [-100] * len(expected)) for place in told)


def test_batches_repeat_and_hold_rows_of_about_one_length() -> None:
    one, again = (maker().batch(seed=1, step=5, size=4) for _ in range(2))
    assert [len(example) for example in one] == [len(example) for example in again]
    spans = [[len(e) for e in maker().batch(1, step, 4)] for step in range(4)]
    spans.sort()
    assert all(a[-1] <= b[0] for a, b in itertools.pairwise(spans))


def test_only_answers_are_learnt() -> None:
    torch.manual_seed(0)
    trainer = LmTrainer(CONFIG)
    lm = trainer.lm
    drawn = [maker().draw(random.Random(seed)) for seed in range(40)]
    example = next(one for one in drawn if int(one.answer.tokens[0, TEXT_COLUMN]))
    whole = Prompt.join([example.prompt, example.answer])
    hidden = lm.hidden(whole.tokens[None], whole.kind[None])[0, len(example.prompt) - 1 : -1]
    wanted = example.answer.tokens[:, TEXT_COLUMN]
    expected = torch.nn.functional.cross_entropy(lm.text_head(hidden), wanted)
    assert torch.allclose(trainer.losses([example])["loss"], expected, atol=1e-5)
    # a longer neighbour pads it and, being audio, adds nothing to the loss of texts
    audio = [one for one in drawn if not int(one.answer.tokens[0, TEXT_COLUMN])]
    both = trainer.losses([example, max(audio, key=len)])
    assert torch.allclose(both["text"], expected, atol=1e-5)


def test_where_an_answer_is_counts_in_full() -> None:
    torch.manual_seed(0)
    trainer = LmTrainer(CONFIG)
    losses = trainer.losses([maker().draw(random.Random(seed)) for seed in range(20)])
    # a head that knows nothing yet is as wrong as a guess among all words and events
    assert losses["place"].item() > 0.5 * math.log(len(SYMBOLS))
    parts = losses["text"] + losses["audio"] + losses["place"]
    assert torch.allclose(losses["loss"], parts)
    losses["place"].backward()
    assert trainer.lm.backbone.blocks[0].qkv.weight.grad.any()


def test_a_share_of_what_is_listened_to_was_made_by_the_decoder() -> None:
    clips = encoded_clips(40)
    again = [replace(next(c for c in clips if c.is_speech), text="zero zero", is_reencoded=True)]
    tokenizer = TextTokenizer(train_tokenizer(CONFIG), CONFIG)
    mixed = ExampleMaker([*clips, *again], tokenizer, CONFIG, {})
    made = tokenizer.encode("zero zero")
    answers = [mixed.draw(random.Random(seed)).answer.tokens for seed in range(600)]
    texts = [t[1:, TEXT_COLUMN].tolist() for t in answers if int(t[0, TEXT_COLUMN])]
    speech = [text for text in texts if text in (made, tokenizer.encode("yes no"))]
    # three in ten, though it is one clip of twenty-one
    assert 0.2 < sum(text == made for text in speech) / len(speech) < 0.45
    assert all(clip.is_reencoded is False for clip in mixed.clips["tts"])


def test_it_learns_a_batch_by_heart() -> None:
    torch.manual_seed(0)
    trainer = LmTrainer(CONFIG)
    batch = maker().batch(seed=1, step=0, size=6)
    optimizer = torch.optim.AdamW(trainer.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = trainer.losses(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
