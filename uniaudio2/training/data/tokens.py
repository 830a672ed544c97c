"""nano's text tokenizer: a byte-level BPE learnt from its words, captions and instructions."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from uniaudio2.config import LmConfig
from uniaudio2.lm.tokenizer import special_tokens
from uniaudio2.tasks.table import TASKS
from uniaudio2.training.data.domain import EVENTS, MOST_EVENTS, THEN, WORDS
from uniaudio2.training.data.instructions import PARAPHRASES

_WEIGHT = 20  # a word of the domain becomes one token before any of an instruction does


def train_tokenizer(config: LmConfig) -> Tokenizer:
    """Learn merges until the special ids begin.

    Text is made lower case: the domain knows no other.

    Raises:
        ValueError: the special ids do not follow one another right behind the learnt ones.
    """
    special = special_tokens(config.ids)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(special.values()),
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.add_special_tokens(sorted(special, key=special.__getitem__))
    learnt = {token: tokenizer.token_to_id(token) for token in special}
    if learnt != special:
        raise ValueError(
            f"special ids {special} must follow the {tokenizer.get_vocab_size() - len(special)} "
            "learnt ids without a gap; correct the configuration"
        )
    return tokenizer


def _texts() -> list[str]:
    spoken = [text for word in WORDS for text in (word, f"{word} {word}")]
    captions = [text for event in EVENTS for text in (event, THEN.join([event] * MOST_EVENTS))]
    asked = [TASKS[task].instruction for task in PARAPHRASES]
    asked += [text for texts in PARAPHRASES.values() for text in texts]
    return _WEIGHT * (spoken + captions) + [text + "\n\n" for text in asked]
