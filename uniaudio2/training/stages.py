"""The stages in their order: each reads what the ones before it left in the folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from uniaudio2.checkpoint.native import save_model
from uniaudio2.config import ModelConfig
from uniaudio2.flow.decoder import FlowDecoder
from uniaudio2.flow.scalar import ScalarCodec
from uniaudio2.flow.windows import WindowPlan
from uniaudio2.lm.model import UniAudioLM
from uniaudio2.lm.tokenizer import TextTokenizer
from uniaudio2.training.data.bands import BandAnalysis
from uniaudio2.training.data.corpus import Corpus, make_corpus
from uniaudio2.training.data.encoded import encode_corpus, read_encoded
from uniaudio2.training.data.tokens import train_tokenizer
from uniaudio2.training.recipe import Recipe
from uniaudio2.training.trainers.alignment import align
from uniaudio2.training.trainers.codec import CodecTrainer, train_codec
from uniaudio2.training.trainers.flow import WindowMaker, new_decoder, train_flow
from uniaudio2.training.trainers.lm import train_lm
from uniaudio2.training.trainers.recogniser import Recogniser, train_recogniser
from uniaudio2.training.trainers.reencoding import reencode
from uniaudio2.training.trainers.resynthesis import resynthesise
from uniaudio2.training.trainers.scalar import train_scalar


@dataclass(frozen=True)
class TrainingRun:
    """A folder in which a model is trained, and how.

    Attributes:
        folder: everything that the stages leave.
        recipe: every number.
        device: torch device.
        workers: processes of the stages that only compute data.
    """

    folder: Path
    recipe: Recipe
    device: str
    workers: int

    @property
    def model(self) -> ModelConfig:
        return self.recipe.model

    @property
    def corpus_folder(self) -> Path:
        return self.folder / "corpus"

    @property
    def resynthesised_folder(self) -> Path:
        return self.folder / "resynthesised"

    @property
    def evaluation_folder(self) -> Path:
        return self.folder / "judged"

    @property
    def model_folder(self) -> Path:
        return self.folder / self.model.name

    # ---- stages --------------------------------------------------------------------------

    def corpus(self) -> None:
        """Make the clips to train on and those to evaluate on."""
        seed = self.recipe.seed
        make_corpus(self.corpus_folder, self.recipe.corpus, seed, self.workers)
        make_corpus(self.evaluation_folder, self.recipe.evaluation, seed + 1, self.workers)

    def scalar(self) -> ScalarCodec:
        """Train the scalar codec."""
        return train_scalar(
            self.folder, Corpus(self.corpus_folder), self.model.scalar, self.recipe.scalar,
            self.recipe.seed, self.device,
        )  # fmt: skip

    def resynthesis(self) -> None:
        """Pass some of the corpus through the scalar codec."""
        resynthesise(
            self.folder, self.corpus_folder, self.resynthesised_folder, self.model.scalar,
            self.recipe.seed, self.workers,
        )  # fmt: skip

    def codec(self) -> CodecTrainer:
        """Train encoders, codec and quantizers."""
        trainer = train_codec(
            self.folder, Corpus(self.resynthesised_folder), self.model, self.recipe.codec,
            self.recipe.seed, self.device,
        )  # fmt: skip
        state = {name: t.cpu().contiguous() for name, t in trainer.encoder.state_dict().items()}
        save_file(state, self.folder / "encoder.safetensors")
        return trainer

    def codes(self) -> None:
        """Encode the corpus with the finished codec."""
        encode_corpus(
            self.folder, self.resynthesised_folder, self.model.codec, self.recipe.seed, self.device,
            self.workers,
        )  # fmt: skip

    def lm(self) -> UniAudioLM:
        """Encode what the decoder makes, and train the language model."""
        clips = read_encoded(self.folder, self.resynthesised_folder, self.model.codec)
        codec, seed = self.codec(), self.recipe.seed
        again = reencode(self.folder, clips, self.flow(), codec.encoder.eval(), seed)
        tokenizer = TextTokenizer(train_tokenizer(self.model.lm), self.model.lm)
        return train_lm(
            self.folder, [*clips, *again], tokenizer, self.model.lm, align(codec, clips),
            self.recipe.lm, seed, self.device,
        )  # fmt: skip

    def flow(self) -> FlowDecoder:
        """Train the flow transformer between the finished codec and the finished scalar codec."""
        model, seed = self.model, self.recipe.seed
        scalar, encoder = self.scalar(), self.codec().encoder
        decoder = new_decoder(model.flow, model.codec, model.scalar, seed)
        decoder.quantizers.load_state_dict(encoder.quantizers.state_dict())
        decoder.scalar.decoder.load_state_dict(scalar.decoder.state_dict())
        maker = WindowMaker(
            Corpus(self.resynthesised_folder),
            read_encoded(self.folder, self.resynthesised_folder, model.codec),
            BandAnalysis(model.scalar),
            WindowPlan(model.flow.window_codes, model.scalar.stride),
            model.codec,
            seed,
        )
        return train_flow(self.folder, maker, decoder.to(self.device), self.recipe.flow, seed)

    def recogniser(self) -> Recogniser:
        """Train the recogniser that evaluates generated speech."""
        return train_recogniser(
            self.folder, Corpus(self.corpus_folder), self.recipe.recogniser, self.recipe.seed,
            self.device,
        )  # fmt: skip

    def export(self) -> Path:
        """Put the finished components together as a model folder, in half precision."""
        components = {"encoder": self.codec().encoder, "lm": self.lm(), "decoder": self.flow()}
        save_model(self.model_folder, self.model, components, torch.float16)
        tokenizer = self.model_folder / "tokenizer/tokenizer.json"
        tokenizer.parent.mkdir(exist_ok=True)
        train_tokenizer(self.model.lm).save(str(tokenizer))
        return self.model_folder


STAGES: dict[str, Callable[[TrainingRun], object]] = {
    "corpus": TrainingRun.corpus,
    "scalar": TrainingRun.scalar,
    "resynthesis": TrainingRun.resynthesis,
    "codec": TrainingRun.codec,
    "codes": TrainingRun.codes,
    "flow": TrainingRun.flow,
    "lm": TrainingRun.lm,
    "recogniser": TrainingRun.recogniser,
    "export": TrainingRun.export,
}
