"""A published folder is recognised, checked and converted; the result computes what is recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.golden_checks.decoder import Recorder, arithmetics, assert_decoded, recorded_row
from tests.golden_checks.encoder import assert_codes
from tests.golden_checks.lm import PUBLISHED_RULE, assert_tts
from tests.golden_checks.lm_recorded import asr_prompt, tts_prompt
from tests.uniaudio2.checkpoint.foreign import MODULE
from tests.uniaudio2.checkpoint.published_folder import (
    FROZEN,
    Recorded,
    codec_weights,
    recorded,
    write_base,
    write_published,
)
from uniaudio2 import UniAudio2
from uniaudio2.checkpoint import native
from uniaudio2.checkpoint.folders import load_config
from uniaudio2.checkpoint.layout import describe_files, files_of, is_published
from uniaudio2.checkpoint.published.convert import convert_published
from uniaudio2.checkpoint.published.weights import read_codec
from uniaudio2.config import CODEBOOKS
from uniaudio2.lm.engine.request import Request

LEVELS = recorded("recorded").codec.info["config"]["CFG"]
pytestmark = pytest.mark.skipif(
    LEVELS["rq"] != CODEBOOKS or LEVELS["ac_n"] + 2 != CODEBOOKS,
    reason="published folders have eight codebooks, these vectors do not",
)


@pytest.fixture(scope="module")
def source() -> Recorded:
    return recorded("full_rate")


@pytest.fixture(scope="module")
def published(source: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("published") / "ckpt", source)


@pytest.fixture(scope="module")
def converted(source: Recorded, published: Path) -> Path:
    target = published.with_name("ours")
    convert_published(published, target, base=source.base())
    return target


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    """The published folder, to be changed."""
    return shutil.copytree(published, tmp_path / "copy")


# ---- what comes out --------------------------------------------------------------------------


def test_codes_of_a_wave_are_the_recorded_ones(source: Recorded, converted: Path) -> None:
    model = UniAudio2.load(str(converted), parts=("encoder",))
    clip = source.frozen.tensors["input.wave"][0]
    assert_codes(model.encode([clip])[0], source.frozen, "audio2token")


def test_speech_and_text_are_the_recorded_ones(source: Recorded, converted: Path) -> None:
    model, pair = UniAudio2.load(str(converted), parts=("lm",)), source.llm
    requests = [Request(tts_prompt(pair), 0, "audio"), Request(asr_prompt(pair), 0, "text")]
    most = max(pair.info["generation"][name] for name in ("tts_frames", "asr_steps")) + 5
    spoken, heard = model.generate(requests, PUBLISHED_RULE.model_copy(update={"max_frames": most}))
    assert_tts(spoken.codes, pair, "after conversion")
    assert heard.text_ids == pair.tensors["asr.text_out"].tolist()


def test_waves_of_codes_are_the_recorded_ones(tmp_path: Path) -> None:
    source = recorded("recorded")
    pair = source.codec
    window = min(facts["chunk_codes"] for facts in pair.info["cases"].values())
    folder = write_published(tmp_path / "ckpt", source)
    convert_published(folder, tmp_path / "ours", base=source.base(window))
    decoder = UniAudio2.load(str(tmp_path / "ours"), parts=("decoder",))._decoder
    assert decoder is not None
    for case, facts in pair.info["cases"].items():
        for compat, name in arithmetics(case) if facts["chunk_codes"] == window else []:
            recorder = Recorder(decoder, [pair.tensors[f"{case}.noise"]])
            decoder.sample = recorder.sample  # type: ignore[method-assign]
            (wave,) = decoder.decode(
                [recorded_row(pair, case)], [0], steps=pair.info["num_steps"],
                guidance=pair.info["guidance"], compat=compat, noise=recorder.draw,
            )  # fmt: skip
            del decoder.sample
            assert_decoded(pair, name, torch.stack(recorder.latents[0]), wave)


def test_the_folder_is_complete(published: Path, converted: Path) -> None:
    names = {str(path.relative_to(converted)) for path in converted.rglob("*") if path.is_file()}
    weights = {f"{part}.safetensors" for part in ("encoder", "decoder", "quantizers", "lm")}
    texts = {"config.json", "README.md", "prompts.json", "tokenizer/tokenizer.json"}
    assert names == weights | texts
    config = load_config(converted)
    assert config.fingerprint in (converted / "README.md").read_text()
    prompts = "audio_tasks_prompts.json"
    assert (converted / "prompts.json").read_text() == (published / prompts).read_text()
    assert MODULE not in (converted / "README.md").read_text()


def test_large_files_are_cut_and_are_the_same_model(
    source: Recorded, published: Path, converted: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(native, "SHARD_BYTES", 40_000)
    config = convert_published(published, tmp_path / "cut", base=source.base())
    shards = sorted(path.name for path in (tmp_path / "cut").glob("lm-*.safetensors"))
    assert len(shards) > 2
    assert shards[0] == f"lm-00001-of-{len(shards):05d}.safetensors"
    assert config == load_config(converted)
    whole, cut = (UniAudio2.load(str(f), parts=("lm",)) for f in (converted, tmp_path / "cut"))
    assert whole._lm is not None and cut._lm is not None
    parts = zip(whole._lm.state_dict().values(), cut._lm.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in parts)
    (tmp_path / "cut" / shards[0]).unlink()
    with pytest.raises(ValueError, match="missing"):
        UniAudio2.load(str(tmp_path / "cut"), parts=("lm",))


def test_bfloat16_is_for_the_language_model_alone(
    source: Recorded, published: Path, converted: Path, tmp_path: Path
) -> None:
    target = tmp_path / "half"
    config = convert_published(published, target, torch.bfloat16, source.base())
    assert config.fingerprint != load_config(converted).fingerprint
    model = UniAudio2.load(str(target))
    assert model._lm is not None and model._encoder is not None
    assert {tensor.dtype for tensor in model._lm.parameters()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in model._encoder.parameters()} == {torch.float32}
    sampling = PUBLISHED_RULE.model_copy(update={"max_frames": 4})
    prompts = (tts_prompt(source.llm), asr_prompt(source.llm))
    requests = [Request(p, 0, kind) for p, kind in zip(prompts, ("audio", "text"), strict=True)]
    assert len(model.generate(requests, sampling)) == 2


# ---- what goes in ----------------------------------------------------------------------------


def resave(path: Path, change: Callable[[dict[str, Any]], None], entry: str = "model") -> None:
    content = torch.load(path, weights_only=True)
    change(content[entry])
    torch.save(content, path)


def test_frozen_encoders_in_the_codec_s_file_win(source: Recorded, copy: Path) -> None:
    """Their names pass through the same prefix rule, ``conv_module.`` inside them included."""
    name = "conformer.layers.0.conv_module.layer_norm.weight"
    other = torch.full_like(source.frozen.weights[FROZEN["music"] + name], 7.0)
    resave(
        copy / "ReasoningCodec.checkpoint",
        lambda state: state.update({"module." + FROZEN["music"] + name: other}),
    )
    files = {"codec": "ReasoningCodec.checkpoint", "scalar": "sqcodec.pth", "music": "music_ssl.pt",
             "whisper": "whisper-medium/config.json", "wavlm": "wavlm/config.json"}  # fmt: skip
    weights = read_codec({short: copy / path for short, path in files.items()})
    ours = "features.music.layers.0.conv_module.layer_norm.weight"
    assert torch.equal(weights.encoder[ours], other)
    assert any("its 1 tensors of frozen encoders replace" in note for note in weights.notes)


def edit_yaml(name: str, *path: str, **values: Any) -> Callable[[Path], None]:
    """Change settings of a YAML or JSON file; None removes one."""

    def edit(folder: Path) -> None:
        content = yaml.safe_load((folder / name).read_text())
        inner = content
        for step in path:
            inner = inner[step]
        inner.update(values)
        for key in [key for key, value in values.items() if value is None]:
            del inner[key]
        (folder / name).write_text(json.dumps(content))

    return edit


def edit_codec(**tensors: Any) -> Callable[[Path], None]:
    """Change tensors of the codec's file; None removes one."""

    def change(state: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            full = "module." + name.replace("__", ".")
            state[full] = tensor
            if tensor is None:
                del state[full]

    return lambda folder: resave(folder / "ReasoningCodec.checkpoint", change)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def add_epoch(folder: Path) -> None:
    shutil.copyfile(folder / "llm_ep3.checkpoint", folder / "llm_ep4.checkpoint")


def other_tokenizer(folder: Path) -> None:
    path = folder / "llama_tokenizer/tokenizer.json"
    ids = json.loads(path.read_text())
    start, end = ("<transcription>", "</transcription>")
    for token in ids["added_tokens"]:
        if token["content"] in (start, end):
            token["content"] = end if token["content"] == start else start
    vocabulary = ids["model"]["vocab"]
    vocabulary[start], vocabulary[end] = vocabulary[end], vocabulary[start]
    path.write_text(json.dumps(ids))


def lose_whisper(folder: Path) -> None:
    path = folder / "whisper-medium/model.safetensors"
    tensors = load_file(path)
    del tensors["model.encoder.conv1.bias"]
    save_file(tensors, path)


LLM, SCALAR = "llm_config.yaml", "sqcodec_config.yaml"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove("music_ssl.pt"), r"lacks music_ssl.pt \(MusicFM\).*download"),
        (remove("llama_tokenizer/tokenizer.json"), "lacks tokenizer.json"),
        (remove("wavlm/pytorch_model.bin"), "wavlm holds no weights"),
        (add_epoch, "2 files llm_ep.*llm_ep3.checkpoint, llm_ep4.checkpoint.*leave only"),
        (edit_yaml(LLM, reason_bos=10**6), "reason_bos 1000000 must lie below"),
        (edit_yaml(LLM, semantic_pad_token=10**6), "semantic_pad_token 1000000 must lie below"),
        (edit_yaml(LLM, audio_prompt_eos=10**6), "audio_prompt_eos 1000000 must lie below"),
        (edit_yaml(LLM, text_pad_token=10**6), "text_pad_token 1000000 must lie below"),
        (edit_yaml(LLM, reason_eos="x"), "reason_eos 'x' must be a whole number"),
        (edit_yaml(LLM, semantic_eos=None), "has no semantic_eos"),
        (edit_yaml(LLM, reason_bos=3, reason_eos=3), "both 3 and must differ"),
        (edit_yaml(LLM, audio_reason_card=19), "audio embeddings"),
        (edit_yaml(LLM, parallel_number=5), "parallel_number 5 must be 9"),
        (edit_yaml("model_config.json", in_channels=5), "in_channels 5 must be"),
        (edit_yaml("model_config.json", num_layers=7), "FlowDecoder.*missing.*transformer.blocks"),
        (edit_yaml(SCALAR, "generator", "config", causal=None), "has no causal"),
        (edit_yaml(SCALAR, "generator", "config", causel=True), "did you mean 'causal'"),
        (edit_yaml(SCALAR, "generator", config=None), "has no generator.config"),
        (edit_yaml("wavlm/config.json", intermediate_size=7), "intermediate_dense.*must be"),
        (edit_codec(cond_feature_emb__bias=None), "1 missing.*condition.bias"),
        (edit_codec(time_film_phone__bias=torch.ones(3)), "film.bias of shape .3. must be"),
        (edit_codec(discriminator__bias=torch.ones(3)), "1 tensors.*discriminator.*--ignore"),
        (lose_whisper, r"1 missing \['features.whisper.conv1.bias'\]"),
        (other_tokenizer, "gives <transcription> the id"),
        (lambda folder: (folder / LLM).write_text("a: [1"), "is no YAML"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_nothing_is_left(
    source: Recorded, copy: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(copy)
    with pytest.raises(ValueError, match=words):
        convert_published(copy, copy.with_name("ours"), base=source.base())
    assert list(copy.parent.iterdir()) == [copy]


def test_unknown_tensors_may_be_ignored_on_request(source: Recorded, copy: Path) -> None:
    edit_codec(discriminator__bias=torch.ones(3))(copy)
    target = copy.with_name("ours")
    convert_published(copy, target, base=source.base(), ignore=["discriminator."])
    assert "1 tensors left out: ignored on request" in (target / "README.md").read_text()


def test_a_folder_may_say_itself_what_its_files_do_not_tell(
    source: Recorded, copy: Path, converted: Path
) -> None:
    write_base(copy, source.base())
    assert convert_published(copy, copy.with_name("ours")) == load_config(converted)
    (copy / "base_config.yaml").write_text("name: x\nflow: {window_code: 4}")
    with pytest.raises(ValueError, match=r"base_config.yaml: .*did you mean 'window_codes'"):
        convert_published(copy, copy.with_name("again"))


def test_the_small_codec_makes_a_model_without_a_language_model(
    source: Recorded, copy: Path, converted: Path
) -> None:
    """Its file differs in the sizes of its codebooks, which any other codec may stand for here."""
    (copy / "ReasoningCodec.checkpoint").rename(copy / "ReasoningCodec_1024.checkpoint")
    for path in (*copy.glob("llm*"), *copy.glob("llama*/*")):
        path.unlink() if path.is_file() else None
    target = copy.with_name("codec")
    config = convert_published(copy, target, base=source.base(), small_codec=True)
    assert config.codec_only and config.name == "golden-codec"
    assert not list(target.glob("lm*"))
    clip = source.frozen.tensors["input.wave"][0]
    whole, alone = (
        UniAudio2.load(str(folder), parts=("encoder",)).encode([clip])[0]
        for folder in (converted, target)
    )
    assert torch.equal(whole.recon, alone.recon)
    with pytest.raises(ValueError, match="codec without a language model"):
        UniAudio2.load(str(target))
    with pytest.raises(ValueError, match=r"lacks .*ReasoningCodec\.checkpoint \(weights"):
        convert_published(copy, copy.with_name("again"), base=source.base())


def test_a_taken_target_is_refused(source: Recorded, published: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        convert_published(published, tmp_path, base=source.base())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_failed_write_leaves_nothing(
    source: Recorded, published: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(native, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        convert_published(published, tmp_path / "ours", base=source.base())
    assert list(tmp_path.iterdir()) == []


def test_the_head_counts_of_the_named_model_must_fit(source: Recorded, copy: Path) -> None:
    """Without a base, the settings name the published models, which are not these."""
    with pytest.raises(ValueError, match="said to have width 3072 and 24 heads in 8"):
        convert_published(copy, copy.with_name("ours"))
    edit_yaml(LLM, llm_name="llama-3b")(copy)
    with pytest.raises(ValueError, match="llm_name 'llama-3b' is no known model"):
        convert_published(copy, copy.with_name("ours"))


# ---- recognising -----------------------------------------------------------------------------


def test_a_published_folder_given_as_a_model_names_the_command(published: Path) -> None:
    with pytest.raises(ValueError, match=r"run `uniaudio2 convert .* TARGET` once"):
        UniAudio2.load(str(published))


def test_folders_are_told_apart(published: Path, converted: Path, tmp_path: Path) -> None:
    assert is_published(published)
    assert not is_published(converted)
    assert not is_published(tmp_path / "absent")
    (tmp_path / "sqcodec.pth").touch()
    assert is_published(tmp_path)
    facts = dict(describe_files(files_of(tmp_path)))
    assert facts["sqcodec.pth"].startswith("sqcodec.pth, 0.0 MB")
    assert facts["music_ssl.pt"] == "MISSING: MusicFM"
    assert facts["ReasoningCodec_1024.checkpoint"].startswith("absent")
    whole = dict(describe_files(files_of(published)))
    assert not any(fact.startswith("MISSING") for fact in whole.values())


def test_both_halves_of_the_codec_are_read(source: Recorded, published: Path) -> None:
    """The vectors' encode and chunks families agree where they overlap: one codec."""
    encode = source.codec.sibling("encode").weights
    both = codec_weights(source)
    shared = set(encode) & set(source.codec.weights)
    assert shared
    assert all(torch.equal(source.codec.weights[name], both[name]) for name in shared)
