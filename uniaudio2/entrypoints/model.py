"""`UniAudio2`: the bare model, without cluster or storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from torch import Tensor

from uniaudio2.checkpoint.folders import DEFAULT_MODEL, load_config, model_folder
from uniaudio2.checkpoint.native import load_component
from uniaudio2.config import ModelConfig, Padding, Windows
from uniaudio2.deprecation import renamed_argument
from uniaudio2.runtime.precision import EXACT, Precision, check_precision
from uniaudio2.tasks.spec import TaskSpec
from uniaudio2.tokens.codes import Codes

if TYPE_CHECKING:
    from pathlib import Path

    from uniaudio2.codec.encoder import CodecEncoder
    from uniaudio2.flow.decoder import FlowDecoder
    from uniaudio2.lm.answers import ReadAnswer
    from uniaudio2.lm.engine.engine import Engine
    from uniaudio2.lm.engine.request import Request, RequestOutput
    from uniaudio2.lm.model import UniAudioLM
    from uniaudio2.lm.prompt import PromptBuilder
    from uniaudio2.lm.sampling.sampling import Sampling
    from uniaudio2.lm.tokenizer import TextTokenizer
    from uniaudio2.runtime.memory_budget import Budget
    from uniaudio2.tokens.grid import Prompt

Component = Literal["encoder", "lm", "decoder"]
_T = TypeVar("_T")
COMPONENTS: tuple[Component, ...] = ("encoder", "lm", "decoder")


class UniAudio2:
    """UniAudio 2.0 in three components, each present only if asked for: no Ray, no storage.

    The codec encoder turns audio into two streams of tokens, the language model answers prompts
    of text and tokens, the flow decoder turns tokens into audio. Audio is always mono float32 at
    24 kHz, tokens are `Codes`, time first. Every call takes many inputs of any lengths, and
    what comes of one does not depend on those beside it. Make one with `load`.

    Attributes:
        config: the model's frozen configuration.
        device: where the components live.

    Examples:
        >>> from uniaudio2 import UniAudio2
        >>> from uniaudio2.lm.sampling.sampling import Sampling
        >>> from uniaudio2.tasks.table import get_task
        >>> model = UniAudio2.load("nano")
        >>> (codes,) = model.encode([wave])            # wave: [N] float32, 24 kHz
        >>> task = get_task("asr")
        >>> sampling = Sampling.of_model(model.config, task)
        >>> request = model.request(task, {"audio": codes}, task.instruction, 0, sampling)
        >>> (output,) = model.generate([request], sampling)
        >>> model.text_of(output.text_ids)
        'one two three four five six'
        >>> (again,) = model.decode([codes], seeds=[0])  # [1920 * T] float32, 24 kHz
    """

    def __init__(
        self,
        config: ModelConfig,
        device: torch.device,
        encoder: CodecEncoder | None = None,
        lm: UniAudioLM | None = None,
        tokenizer: TextTokenizer | None = None,
        decoder: FlowDecoder | None = None,
    ) -> None:
        self.config = config
        self.device = device
        self._encoder = encoder
        self._lm = lm
        self._tokenizer = tokenizer
        self._decoder = decoder

    @staticmethod
    def load(
        source: str = DEFAULT_MODEL,
        parts: Sequence[Component] = COMPONENTS,
        device: str | None = None,
        threads: int | None = None,
        precision: Precision = EXACT,
    ) -> UniAudio2:
        """Load a bundled model by name, or a folder in our format.

        Args:
            source: name of a bundled model, or a folder with ``config.json``.
            parts: components to load; the others take no memory.
            device: torch device; None takes the GPU when there is one.
            threads: CPU threads for torch; None leaves its choice.
            precision: what encoder and decoder multiply; "float32" is exact. The language model
                multiplies what its weights are.

        Raises:
            ValueError: no such model, its files do not fit its configuration, or the device does
                not have the precision.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        check_precision(precision, place)
        folder = model_folder(source)
        config = load_config(folder)
        model = UniAudio2(config, place)
        # each component is imported when it is loaded: an actor starts with what it needs alone
        if "encoder" in parts:
            model._load_encoder(folder, precision)
        if "lm" in parts:
            if config.codec_only:
                raise ValueError(
                    f"model {source!r} is a codec without a language model; load it with "
                    "parts=('encoder', 'decoder')"
                )
            model._load_lm(folder)
        if "decoder" in parts:
            model._load_decoder(folder, precision)
        return model

    def _load_encoder(self, folder: Path, precision: Precision) -> None:
        from uniaudio2.codec.encoder import CodecEncoder

        self._encoder = load_component(
            lambda: CodecEncoder(self.config.codec), "encoder", folder, self.config, self.device
        )
        self._encoder.set_precision(precision)
        self._encoder.pack()

    def _load_lm(self, folder: Path) -> None:
        from uniaudio2.lm.model import UniAudioLM
        from uniaudio2.lm.tokenizer import TextTokenizer

        lm = self.config.lm
        self._lm = load_component(lambda: UniAudioLM(lm), "lm", folder, self.config, self.device)
        self._lm.pack()
        self._tokenizer = TextTokenizer.load(folder / "tokenizer/tokenizer.json", lm)

    def _load_decoder(self, folder: Path, precision: Precision) -> None:
        from uniaudio2.flow.decoder import FlowDecoder

        config = self.config
        self._decoder = load_component(
            lambda: FlowDecoder(config.flow, config.codec, config.scalar),
            "decoder", folder, config, self.device,
        )  # fmt: skip
        self._decoder.set_precision(precision)
        self._decoder.pack()

    @renamed_argument("context", "padding")
    def encode(
        self,
        clips: Sequence[Tensor],
        segments_per_batch: int | Budget = 6,
        padding: Padding = "periodic",
    ) -> list[Codes]:
        """Tokenize clips of any lengths.

        Args:
            clips: each ``[N]`` float32, mono, 24 kHz, N > 0.
            segments_per_batch: segments (of all clips together) that run at once.
            padding: "tight" does not repeat short clips to a whole segment: other tokens, sooner.

        Returns:
            one `Codes` a clip: ``N // 4800 + 1`` reasoning and ``N // 1920 + 1``
            reconstruction frames.
        """
        return _need(self._encoder, "encoder").encode(clips, segments_per_batch, padding)

    @renamed_argument("context", "padding")
    def encode_stream(
        self,
        blocks: Iterable[Tensor],
        samples: int,
        segments_per_batch: int | Budget = 6,
        padding: Padding = "periodic",
    ) -> Codes:
        """Tokenize one clip of `samples` samples that comes in blocks, in bounded memory.

        The codes are those that `encode` gives for the whole clip.
        """
        encoder = _need(self._encoder, "encoder")
        return encoder.encode_stream(blocks, samples, segments_per_batch, padding)

    def request(
        self,
        task: TaskSpec,
        values: Mapping[str, str | Codes],
        instruction: str,
        seed: int,
        sampling: Sampling,
        prefix: Prompt | None = None,
    ) -> Request:
        """Build a request for `generate`.

        Args:
            task: lays out the prompt.
            values: text or codes by input column.
            instruction: the task prompt; "" leaves it out.
            seed: decides the draws.
            sampling: its `max_frames` and guidance shape the request.
            prefix: worked examples, laid out before the prompt.

        Raises:
            PromptTooLong: the prompt leaves no room for generation in the context.
            ValueError: a value is missing or of the wrong kind, or codes are out of range.
        """
        from uniaudio2.lm.engine.limits import check_length
        from uniaudio2.lm.engine.request import Request
        from uniaudio2.tokens.grid import Prompt

        prompt = self.prompts.prompt(task, values, instruction)
        if prefix:
            prompt = Prompt.join([prefix, prompt])
        before = len(prefix) if prefix else 0
        check_length(prompt, sampling.max_frames, self.config.lm, task.answer, before)
        output: Literal["text", "audio"] = "text" if task.output == "text" else "audio"
        return Request(prompt, seed, output, answer=task.answer)

    @property
    def prompts(self) -> PromptBuilder:
        """Builds prompts and worked examples."""
        from uniaudio2.lm.prompt import PromptBuilder

        return PromptBuilder(_need(self._tokenizer, "lm"), self.config.lm)

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, slots: int | None = None
    ) -> list[RequestOutput]:
        """Run the language model over requests of any prompt lengths.

        Args:
            requests: of `request`.
            sampling: settings of all of them.
            slots: requests that are decoded together, the next one taking the slot of one that is
                finished; None for all of them.

        Returns:
            one output per request, in their order.
        """
        from uniaudio2.lm.engine.generate import generate

        return generate(_need(self._lm, "lm"), requests, sampling, slots)

    def engine(self, sampling: Sampling, slots: int, prefix: Prompt | None = None) -> Engine:
        """Make an engine of the language model, for requests that come one by one.

        Args:
            sampling: settings of all requests.
            slots: requests that are decoded together.
            prefix: what all prompts begin with; it is computed once.
        """
        from uniaudio2.lm.engine.generate import make_engine

        return make_engine(_need(self._lm, "lm"), sampling, slots, prefix)

    @property
    def language_model(self) -> UniAudioLM:
        """The language model itself."""
        return _need(self._lm, "lm")

    def read_answers(
        self, requests: Sequence[Request], answers: Sequence[Sequence[int]]
    ) -> list[ReadAnswer]:
        """Read answers of text again behind their prompts: what their ids attended to, by the heads
        that the model's configuration chooses, and how probable they were.

        Args:
            requests: of `request`.
            answers: text ids of each, at least one.
        """
        from uniaudio2.lm.answers import read_answers, upper_heads

        lm = _need(self._lm, "lm")
        prompts = [request.prompt for request in requests]
        heads = self.config.alignment.heads or upper_heads(lm)
        return read_answers(lm, prompts, answers, heads)

    def text_of(self, ids: Sequence[int]) -> str:
        """Decode generated ids to text, without tags and other special tokens."""
        return _need(self._tokenizer, "lm").decode(list(ids))

    def decode(
        self,
        codes: Sequence[Codes],
        seeds: Sequence[int],
        steps: int | None = None,
        guidance: float | None = None,
        compat: bool = False,
        windows: Windows | None = None,
        windows_per_batch: int | Budget = 8,
    ) -> list[Tensor]:
        """Turn codes into waves.

        Args:
            codes: one `Codes` per wave.
            seeds: one per wave; they decide the noise.
            steps: Euler steps; None for the model's own number.
            guidance: guidance scale; None for the model's own.
            compat: the published window arithmetic instead of the corrected one.
            windows: "fitted" cuts windows to what is heard, "whole" does not; None for the model's
                own choice.
            windows_per_batch: windows (of all waves together) that run at once.

        Returns:
            one wave per `Codes`, ``[1920 * T]`` float32 at 24 kHz.
        """
        return _need(self._decoder, "decoder").decode(
            codes,
            seeds,
            steps=steps,
            guidance=guidance,
            compat=compat,
            windows=windows,
            windows_per_batch=windows_per_batch,
        )

    def check_codes(self, codes: Codes) -> None:
        """Raise ValueError for codes that the codec cannot decode."""
        from uniaudio2.flow.decoder import check_codes

        check_codes(codes, self.config.codec)


def _need(component: _T | None, name: Component) -> _T:
    if component is None:
        raise ValueError(
            f"component {name!r} was not loaded; load the model with parts=({name!r},)"
        )
    return component
