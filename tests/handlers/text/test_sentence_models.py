"""Sentence models of every make, archived and served: the vectors of sentence-transformers itself."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from benchmarks.families.checkpoints import FAMILIES, encoder
from handlers.archive import checkpoints
from handlers.archive.archives import build, is_current
from handlers.archive.sources import CheckpointError
from handlers.embeddings import EmbeddingsHandler
from handlers.model.settings import POOLINGS
from tests.support.bodies import TEXTS
from tests.support.worker import a_context, handle

os.environ["HF_HUB_OFFLINE"] = "1"
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules

SIZE = 32  # of the hidden states
MIXED = [*TEXTS, "GREAT Value, ça va?", "x"]


def a_model(folder: Path, family: str = "bert", *, after: Sequence[Any] = (), **pooling: Any) -> Path:
    """A sentence model as sentence-transformers saves it: a tiny encoder, the pooling, what comes after."""
    bare = encoder(family, folder / "bare")
    chain = [modules.Transformer(str(bare)), modules.Pooling(SIZE, **pooling), *after]
    torch.manual_seed(0)
    SentenceTransformer(modules=chain, device="cpu").save(str(folder / "source"), create_model_card=False)
    return folder / "source"


def note(folder: Path, name: str, **said: Any) -> None:
    """Add to a JSON file of the model, or begin it."""
    path = folder / name
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | said))


def served(source: Path, archive: Path, **settings: Any) -> EmbeddingsHandler:
    """A handler as a worker has it, of a checkpoint as it is archived."""
    archive.mkdir()
    checkpoints.resave_embedding(source, archive)
    handler = EmbeddingsHandler()
    handler.initialize(a_context(archive, "embedding", **settings))
    return handler


def assert_alike(source: Path, archive: Path, texts: list[str], **settings: Any) -> EmbeddingsHandler:
    """In one batch, and one alone: without a mask."""
    handler = served(source, archive, **settings)
    expected = SentenceTransformer(str(source), device="cpu").encode(texts)
    np.testing.assert_allclose(handler.predict(texts), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(handler.predict(texts[1:2])[0], expected[1], rtol=0, atol=1e-5)
    return handler


class TestPooling:
    @pytest.mark.thorough
    @pytest.mark.parametrize(
        "mode", [*POOLINGS, ("mean", "max"), ("cls", "lasttoken", "weightedmean"), ("max", "cls")], ids=str
    )
    def test_of_every_mode_is_that_of_sentence_transformers(self, tmp_path: Path, mode: Any) -> None:
        assert_alike(a_model(tmp_path, pooling_mode=mode), tmp_path / "archive", MIXED)

    @pytest.mark.thorough
    def test_of_older_files_is_laid_end_to_end_in_their_order(self, tmp_path: Path) -> None:
        source = a_model(tmp_path)
        older = {"word_embedding_dimension": SIZE, "pooling_mode_mean_tokens": True}
        older |= {"pooling_mode_max_tokens": True, "pooling_mode_cls_token": False}
        (source / "1_Pooling" / "config.json").write_text(json.dumps(older))
        handler = assert_alike(source, tmp_path / "archive", MIXED)
        assert handler.pooling.modes == ("max", "mean")

    @pytest.mark.thorough
    @pytest.mark.parametrize("family", FAMILIES)
    def test_of_every_family(self, tmp_path: Path, family: str) -> None:
        source = a_model(tmp_path, family, pooling_mode="mean", after=[modules.Normalize()])
        assert_alike(source, tmp_path / "archive", MIXED)

    @pytest.mark.thorough
    @pytest.mark.parametrize("mode", ["max", "lasttoken"])
    def test_of_the_yaml_where_the_checkpoint_says_nothing(self, tmp_path: Path, mode: str) -> None:
        bare = encoder("bert", tmp_path / "bare")
        source = a_model(tmp_path / "model", pooling_mode=mode, after=[modules.Normalize()])
        ours = served(bare, tmp_path / "archive", pooling=mode).predict(MIXED)
        theirs = SentenceTransformer(str(source), device="cpu").encode(MIXED)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


class TestSteps:
    @pytest.mark.thorough
    @pytest.mark.parametrize(
        "after",
        [
            lambda: [modules.Dense(SIZE, 8)],
            lambda: [modules.Dense(SIZE, 48, bias=False, activation_function=nn.Identity())],
            lambda: [modules.Dense(SIZE, 8, activation_function=nn.GELU()), modules.Normalize()],
            lambda: [modules.Normalize(), modules.Dense(SIZE, SIZE, activation_function=nn.ReLU())],
            lambda: [modules.Dense(SIZE, 16), modules.Normalize(), modules.Dense(16, 4), modules.Normalize()],
        ],
        ids=["Dense", "wider", "Dense Normalize", "Normalize Dense", "twice"],
    )
    def test_are_taken_in_the_order_of_the_modules(self, tmp_path: Path, after: Any) -> None:
        assert_alike(a_model(tmp_path, after=after()), tmp_path / "archive", MIXED)

    @pytest.mark.thorough
    def test_follow_a_pooling_of_several_modes(self, tmp_path: Path) -> None:
        source = a_model(tmp_path, pooling_mode=("cls", "mean"), after=[modules.Dense(2 * SIZE, 8)])
        handler = assert_alike(source, tmp_path / "archive", MIXED)
        assert handler.predict(["a"]).shape == (1, 8)

    def test_are_in_fp32_where_the_encoder_is_not(self, tmp_path: Path) -> None:
        source = a_model(tmp_path, after=[modules.Dense(SIZE, 8), modules.Normalize()])
        vectors = served(source, tmp_path / "archive", precision="bf16").predict(MIXED)
        assert vectors.dtype == torch.float32
        assert vectors.norm(dim=-1).tolist() == pytest.approx([1.0] * len(MIXED), abs=1e-6)

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ({"activation_function": "transformers.activations.GELUActivation"}, "torch.nn's ELU, GELU"),
            ({"activation_function": "torch.nn.modules.activation.Softmax2d"}, "asks for the activation"),
            ({"activation_function": "torch.nn.modules.activation.PReLU"}, "asks for the activation"),
            ({"module_input_name": "token_embeddings"}, "knows sentence_embedding"),
            ({"use_residual": True}, "asks for use_residual"),
        ],
    )
    def test_that_would_be_others_are_refused(self, tmp_path: Path, said: dict[str, Any], told: str) -> None:
        source = a_model(tmp_path, after=[modules.Dense(SIZE, 8)])
        note(source, "2_Dense/config.json", **said)
        with pytest.raises(CheckpointError, match=told):
            build("embedding", source, tmp_path)

    def test_whose_weights_are_pickled_are_refused(self, tmp_path: Path) -> None:
        source = a_model(tmp_path, after=[modules.Dense(SIZE, 8)])
        (source / "2_Dense/model.safetensors").rename(source / "2_Dense/pytorch_model.bin")
        with pytest.raises(CheckpointError, match=r"2_Dense holds no model.safetensors: load the model"):
            build("embedding", source, tmp_path)

    def test_whose_sizes_do_not_follow_each_other_are_refused(self, tmp_path: Path) -> None:
        source = a_model(tmp_path, after=[modules.Dense(SIZE, 8)])
        note(source, "1_Pooling/config.json", pooling_mode=["mean", "max"])
        with pytest.raises(CheckpointError, match="wants vectors of 32 numbers, what comes before gives 64"):
            build("embedding", source, tmp_path)

    @pytest.mark.thorough
    @pytest.mark.usefixtures("forked")
    def test_build_the_archive_anew_when_their_weights_change(self, tmp_path: Path) -> None:
        source = a_model(tmp_path, after=[modules.Dense(SIZE, 8)])
        archive = build("embedding", source, tmp_path)
        assert is_current("embedding", source, archive)
        os.utime(source / "2_Dense/model.safetensors", (1, 1))
        assert not is_current("embedding", source, archive)


class TestLimits:
    LONG = "The kettle boils a litre of water in three minutes, and it does so without a sound. " * 3

    @pytest.mark.thorough
    @pytest.mark.parametrize(
        "name", ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"]
    )
    def test_of_tokens_are_in_any_file_that_sentence_transformers_reads(
        self, tmp_path: Path, name: str
    ) -> None:
        source = a_model(tmp_path, "roberta")
        (source / "sentence_bert_config.json").unlink()
        note(source, f"sentence_{name}_config.json", max_seq_length=16, do_lower_case=False)
        handler = assert_alike(source, tmp_path / "archive", [self.LONG, "short"])
        assert handler.preprocess([self.LONG]).parts[0].length == 16

    @pytest.mark.thorough
    def test_are_those_of_the_first_file_that_says_anything(self, tmp_path: Path) -> None:
        source = a_model(tmp_path, "roberta")
        (source / "sentence_bert_config.json").write_text("{}")
        note(source, "sentence_roberta_config.json", max_seq_length=16)
        note(source, "sentence_albert_config.json", max_seq_length=8)
        assert_alike(source, tmp_path / "archive", [self.LONG, "short"])

    @pytest.mark.parametrize("said", [{}, {"max_seq_length": None}])
    def test_are_the_tokenizers_and_the_models_else(self, tmp_path: Path, said: dict[str, Any]) -> None:
        source = a_model(tmp_path, "mpnet")
        (source / "sentence_bert_config.json").unlink()
        note(source, "sentence_bert_config.json", **said)
        note(source, "tokenizer_config.json", model_max_length=20)
        handler = assert_alike(source, tmp_path / "archive", [self.LONG, "short"])
        assert handler.preprocess([self.LONG]).parts[0].length == 20

    def test_hold_where_the_file_asks_for_more_than_the_tokenizer(self, tmp_path: Path) -> None:
        source = a_model(tmp_path)
        note(source, "tokenizer_config.json", model_max_length=20)
        note(source, "sentence_bert_config.json", max_seq_length=32)
        assert_alike(source, tmp_path / "archive", [self.LONG, "short"])


class TestLowerCase:
    @pytest.mark.thorough
    @pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "albert"])
    def test_comes_first_where_the_file_asks_for_it(self, tmp_path: Path, family: str) -> None:
        source = a_model(tmp_path, family)
        if family == "bert":  # ours puts in lower case by itself
            transformers.AutoTokenizer.from_pretrained(source, do_lower_case=False).save_pretrained(source)
        note(source, "sentence_bert_config.json", do_lower_case=True)
        handler = assert_alike(source, tmp_path / "archive", MIXED)
        upper, lower = handler.predict(["GREAT VALUE", "great value"])
        assert torch.equal(upper, lower)


class TestPrompts:
    def test_by_default_go_before_each_text(self, tmp_path: Path) -> None:
        source = a_model(tmp_path)
        prompts = {"query": "the kettle: ", "document": ""}
        note(source, "config_sentence_transformers.json", prompts=prompts, default_prompt_name="query")
        handler = assert_alike(source, tmp_path / "archive", MIXED)
        assert handler.pooling.prompt == "the kettle: "

    def test_that_are_not_the_default_are_the_clients(self, tmp_path: Path) -> None:
        source = a_model(tmp_path)
        note(source, "config_sentence_transformers.json", prompts={"query": "the kettle: "})
        assert_alike(source, tmp_path / "archive", MIXED)


def test_a_pair_has_no_vector(tmp_path: Path) -> None:
    handler = served(a_model(tmp_path), tmp_path / "archive")
    context = a_context(tmp_path / "archive", "embedding")
    pair = {"text": TEXTS[0], "text_pair": TEXTS[1]}
    answers = handle(handler, context, [{"body": pair}, {"body": {"instances": [pair]}}, {"body": TEXTS[0]}])
    assert [status for status, _ in answers] == [400, 400, 200]
