"""The BERT handler, driven as a TorchServe worker drives it, against a direct forward pass."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from handlers.archive.archives import CORPUS
from handlers.bert import BertHandler
from handlers.text import encoder
from tests.support.bodies import TEXTS
from tests.support.checkpoints import tiny_bert
from tests.support.worker import a_context, handle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def a_handler(folder: Path, **settings: Any) -> tuple[BertHandler, Any]:
    handler, context = BertHandler(), a_context(folder, "text", **settings)
    handler.initialize(context)
    return handler, context


def let_a_pass_cost(handler: BertHandler, tokens: float) -> None:
    """Beyond its own tokens, in place of what was measured at load."""
    shapes = replace(handler.encoder.shapes, overhead_tokens=tokens)
    handler.encoder = replace(handler.encoder, shapes=shapes)


def directly(folder: Path, text: str) -> dict[str, float]:
    """label -> probability of one text, by transformers alone."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, truncation=True, return_tensors="pt")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        probabilities = model(**tokens).logits[0].softmax(-1).tolist()
    return {model.config.id2label[i]: p for i, p in enumerate(probabilities)}


def as_dict(prediction: list[dict[str, Any]]) -> dict[str, float]:
    return {entry["label"]: entry["probability"] for entry in prediction}


def test_the_smallest_and_the_largest_batch_are_tried_at_load_with_and_without_a_mask(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []
    monkeypatch.setattr(encoder, "warm_up", lambda networks, examples: tried.append((networks, examples)))
    handler, _ = a_handler(folder)
    ((networks, (smallest, largest)),) = tried
    assert networks == [handler.encoder.network, handler.encoder.network_without_mask]
    assert smallest.shape == (1, 1 + 8)
    assert largest.shape == (8, 1 + handler.encoder.shapes.max_tokens)


class TestPredictions:
    def test_are_those_of_a_direct_forward_pass(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        answers = handle(handler, context, [{"body": text} for text in TEXTS])
        for text, (status, prediction) in zip(TEXTS, answers, strict=True):
            assert status == 200
            assert as_dict(prediction) == pytest.approx(directly(folder, text), abs=1e-5)

    def test_are_sorted_and_sum_to_one(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        [(_, prediction)] = handle(handler, context, [{"body": TEXTS[0]}])
        probabilities = [entry["probability"] for entry in prediction]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1)

    def test_keep_their_order_whatever_the_form_of_each_request(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        rows: list[dict[str, object]] = [
            {"body": {"instances": TEXTS[:2]}},
            {"data": TEXTS[2]},
            {"body": {"data": TEXTS[:1]}},
        ]
        (_, several), (_, single), (_, listed) = handle(handler, context, rows)
        expected = [directly(folder, text) for text in TEXTS]
        assert as_dict(several["predictions"][1]) == pytest.approx(expected[1], abs=1e-5)
        assert as_dict(single) == pytest.approx(expected[2], abs=1e-5)
        assert as_dict(listed[0]) == pytest.approx(expected[0], abs=1e-5)


class TestHalfPrecision:
    @pytest.mark.thorough
    def test_gives_the_answers_of_fp32_within_two_hundredths(self, tmp_path: Path) -> None:
        folder = tiny_bert(tmp_path, spread=0.2)
        words = CORPUS.read_text().split()
        texts = [" ".join(words[i : i + 3 + i % 9]) for i in range(0, 3000, 10)]
        expected, found = (
            handler.forward(handler.preprocess(texts))
            for handler, _ in (a_handler(folder), a_handler(folder, precision="bf16"))
        )
        assert found.dtype == torch.float32
        assert (found - expected).abs().max() < 2e-2
        assert (found.argmax(-1) == expected.argmax(-1)).float().mean() >= 0.99

    def test_is_what_the_environment_asks_for(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HANDLER_PRECISION", "bf16")
        handler, _ = a_handler(folder)
        assert handler.runtime.model.dtype == torch.bfloat16


class TestBatch:
    def test_is_one_forward_pass_padded_to_its_longest_text(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        let_a_pass_cost(handler, tokens=5)
        shapes = []
        handler.runtime.model.register_forward_pre_hook(
            lambda _module, _args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
        )
        handle(handler, context, [{"body": "good"}, {"body": {"instances": ["so good", "good"]}}])
        assert shapes == [(3, 4)]  # [CLS] so good [SEP]

    def test_of_very_different_lengths_takes_several_passes_and_keeps_its_order(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        let_a_pass_cost(handler, tokens=5)
        texts = ["rain " * count for count in (30, 1, 31, 2, 1)]
        assert [(part.texts, part.length) for part in handler.preprocess(texts).parts] == [(3, 4), (2, 33)]
        answers = handle(handler, context, [{"body": text} for text in texts])
        for text, (_, prediction) in zip(texts, answers, strict=True):
            assert as_dict(prediction) == pytest.approx(directly(folder, text), abs=1e-5)

    def test_is_split_only_where_the_measured_overhead_allows(self, folder: Path) -> None:
        assert a_handler(folder)[0].encoder.shapes.overhead_tokens >= 0
        assert a_handler(folder, tuned=False)[0].encoder.shapes.overhead_tokens == float("inf")

    def test_is_cut_at_the_models_limit(self, folder: Path) -> None:
        handler, _ = a_handler(folder)
        [part] = handler.preprocess(["rain " * 200]).parts
        assert part.length == 64

    def test_answers_the_good_when_others_are_bad(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        rows: list[dict[str, object]] = [
            {"body": b"\xff\xfe"},
            {"body": TEXTS[0]},
            {},
            {"body": "x" * 70_000},
            {"body": TEXTS[1]},
        ]
        answers = handle(handler, context, rows)
        assert [status for status, _ in answers] == [415, 200, 400, 413, 200]
        assert as_dict(answers[1][1]) == pytest.approx(directly(folder, TEXTS[0]), abs=1e-5)
        assert as_dict(answers[4][1]) == pytest.approx(directly(folder, TEXTS[1]), abs=1e-5)

    def test_says_what_is_wrong_with_a_bad_request(self, folder: Path) -> None:
        handler, context = a_handler(folder, limits={"text_bytes": 10})
        [(_, body)] = handle(handler, context, [{"body": "eleven byte"}])
        assert body == {
            "code": 413,
            "type": "PayloadError",
            "message": "text of 11 bytes: at most 10 are allowed",
        }
        assert context.get_response_status(0) == (413, "Request Entity Too Large")
        assert context.get_response_content_type(0) == "application/json"

    def test_of_nothing_but_bad_requests_runs_no_model(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        handler.runtime.model.register_forward_pre_hook(lambda *_: pytest.fail("ran"))
        assert [status for status, _ in handle(handler, context, [{}, {}])] == [400, 400]

    def test_fails_as_a_whole_when_the_model_does(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        handler.runtime.model.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            handle(handler, context, [{"body": TEXTS[0]}])
