"""Encodes text as ids and decodes it, with the markers that the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from uniaudio2.config import LmConfig, SpecialIds


class TextTokenizer:
    """A ``tokenizer.json`` with the model's rules for bos, eos and special tokens.

    A tag that a user types inside a text stays text: it never becomes the tag's id.

    Args:
        tokenizer: of the `tokenizers` library; it is used up (its settings are changed).
        config: names the special ids.
    """

    def __init__(self, tokenizer: Tokenizer, config: LmConfig) -> None:
        tokenizer.encode_special_tokens = True  # sic: encode them as the text they are
        self._tokenizer = tokenizer
        self._ids = config.ids
        self._special = frozenset(special_tokens(config.ids).values())

    @staticmethod
    def load(path: Path, config: LmConfig) -> TextTokenizer:
        """Read a ``tokenizer.json``."""
        return TextTokenizer(Tokenizer.from_file(str(path)), config)

    def encode(self, text: str) -> list[int]:
        """Encode a text, with bos in front and eos at the end exactly once each."""
        ids: list[int] = self._tokenizer.encode(text).ids
        if ids[:1] != [self._ids.text_bos]:
            ids.insert(0, self._ids.text_bos)
        if ids[-1] != self._ids.text_eos:
            ids.append(self._ids.text_eos)
        return ids

    def instruction(self, text: str) -> list[int]:
        """Encode a task prompt: stripped, then closed by an empty line."""
        return self.encode(text.strip() + "\n\n")

    def decode(self, ids: Sequence[int]) -> str:
        """Decode ids; special ids, and ids that the tokenizer does not know, are left out."""
        plain = [id for id in ids if id not in self._special]
        text: str = self._tokenizer.decode(plain, skip_special_tokens=True)
        return text


def special_tokens(ids: SpecialIds) -> dict[str, int]:
    """List every special text token and its id."""
    tokens = {
        "<|begin_of_text|>": ids.text_bos,
        "<|end_of_text|>": ids.text_eos,
        "<text_pad_token>": ids.text_pad,
    }
    for tag, (opening, closing) in ids.tags.items():
        tokens[f"<{tag}>"] = opening
        tokens[f"</{tag}>"] = closing
    return tokens


def byte_tokenizer(config: LmConfig) -> Tokenizer:
    """Make a tokenizer that needs no training: id b is byte b, special tokens keep their own ids.

    Raises:
        ValueError: special ids that collide with the 256 bytes or with each other.
    """
    special = special_tokens(config.ids)
    taken = sorted(special.values())
    if taken[0] < 256 or len(set(taken)) < len(taken):
        raise ValueError(
            f"special text ids {taken} must be 256 or more and differ from each other, "
            "because ids 0..255 are bytes"
        )
    vocabulary = {character: byte for byte, character in enumerate(_byte_characters())}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary | special, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def _byte_characters() -> list[str]:
    """List the printable characters that byte-level tokenizers use for bytes 0..255: a printable
    byte stands for itself, the others follow one another from U+0100."""
    characters, others = [], 0
    for byte in range(256):
        if chr(byte).isprintable() and byte != ord(" "):
            characters.append(chr(byte))
        else:
            characters.append(chr(256 + others))
            others += 1
    return characters
