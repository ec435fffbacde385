"""Every family of encoders, archived and served: the answers of transformers' own pipeline."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from benchmarks.families.checkpoints import FAMILIES, classifier
from handlers.archive import checkpoints
from handlers.bert import BertHandler
from handlers.model.families import PLAIN, TUNED
from handlers.text.pairs import TextOrPair
from tests.support.bodies import TEXTS
from tests.support.worker import a_context, handle

ODD = ["  Great   value", "ça va, 東京 \U0001f600"]
# Of every length on either side: the cut takes from the longer one.
PAIRS = [(first, second) for first in TEXTS for second in reversed(TEXTS)]


def served(source: Path, archive: Path, **settings: Any) -> tuple[BertHandler, Any]:
    """A handler as a worker has it, of a checkpoint as it is archived."""
    archive.mkdir()
    checkpoints.resave_text(source, archive)
    handler, context = BertHandler(), a_context(archive, "text", **settings)
    handler.initialize(context)
    return handler, context


def by_transformers(
    source: Path, inputs: list[TextOrPair], function: str | None = None
) -> list[dict[str, float]]:
    """What transformers' text-classification pipeline makes of each input, alone: label -> score."""
    classify = transformers.pipeline("text-classification", model=str(source))
    answers = []
    for each in inputs:
        given = {"text": each[0], "text_pair": each[1]} if isinstance(each, tuple) else each
        scores = classify(given, truncation=True, top_k=None, function_to_apply=function)
        answers.append({score["label"]: score["score"] for score in scores})
    return answers


def assert_alike(
    handler: BertHandler, source: Path, inputs: list[TextOrPair], told_as: str = "probability", **by: Any
) -> None:
    found = [{entry["label"]: entry[told_as] for entry in answer} for answer in handler.predict(inputs)]
    for ours, theirs in zip(found, by_transformers(source, inputs, **by), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: classifier(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}


class TestEveryFamily:
    def test_is_in_the_list_of_those_served(self) -> None:
        assert set(FAMILIES) == {*TUNED, *PLAIN}

    @pytest.mark.thorough
    @pytest.mark.parametrize("family", FAMILIES)
    def test_gives_texts_and_pairs_the_scores_of_transformers(
        self, sources: dict[str, Path], family: str, tmp_path: Path
    ) -> None:
        handler, _ = served(sources[family], tmp_path / "archive")
        assert handler.runtime.settings.tuned == (family in TUNED)
        assert_alike(handler, sources[family], [*TEXTS, *ODD])
        assert_alike(handler, sources[family], PAIRS)
        assert_alike(handler, sources[family], [TEXTS[0], PAIRS[1], TEXTS[3], PAIRS[0]])
        alone, pair, other_way_round = handler.forward(
            handler.preprocess([TEXTS[0], (TEXTS[0], TEXTS[1]), (TEXTS[1], TEXTS[0])])
        )
        assert (alone - pair).abs().max() > 1e-3
        assert (pair - other_way_round).abs().max() > 1e-4


class TestPairs:
    @pytest.mark.thorough
    def test_are_answered_in_every_form_of_request(self, sources: dict[str, Path], tmp_path: Path) -> None:
        handler, context = served(sources["bert"], tmp_path / "archive")
        pair = {"text": TEXTS[0], "text_pair": TEXTS[1]}
        rows: list[dict[str, object]] = [
            {"body": pair},
            {"body": {"instances": [TEXTS[2], pair]}},
            {"body": {"inputs": [pair]}},
            {"body": TEXTS[2]},
        ]
        (_, single), (_, several), (_, listed), (_, alone) = handle(handler, context, rows)
        [expected] = by_transformers(sources["bert"], [(TEXTS[0], TEXTS[1])])
        for answer in (single, several["predictions"][1], listed[0]):
            assert {entry["label"]: entry["probability"] for entry in answer} == pytest.approx(
                expected, abs=1e-5
            )
        for ours, theirs in zip(several["predictions"][0], alone, strict=True):
            assert ours["label"] == theirs["label"]
            assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-5)

    @pytest.mark.parametrize(
        ("pair", "status", "told"),
        [
            ({"text": "a", "text_pair": " "}, 400, 'the pair\'s "text_pair" is empty'),
            ({"text": "", "text_pair": "b"}, 400, 'the pair\'s "text" is empty'),
            ({"text": "a", "text_pair": None}, 400, 'the pair\'s "text_pair": expected a text, got null'),
            ({"text": "a", "text_pair": ["b"]}, 400, "expected a text, got a list"),
            ({"text": "a", "text_pair": "b" * 70_000}, 413, 'the pair\'s "text_pair": text of 70000 bytes'),
        ],
    )
    def test_of_which_one_is_bad_say_which(
        self, sources: dict[str, Path], tmp_path: Path, pair: object, status: int, told: str
    ) -> None:
        handler, context = served(sources["bert"], tmp_path / "archive")
        [(answered, body)] = handle(handler, context, [{"body": pair}])
        assert answered == status
        assert told in body["message"]

    @pytest.mark.thorough
    def test_of_very_different_lengths_take_several_passes(
        self, sources: dict[str, Path], tmp_path: Path
    ) -> None:
        handler, _ = served(sources["bert"], tmp_path / "archive")
        handler.encoder = replace(handler.encoder, shapes=replace(handler.encoder.shapes, overhead_tokens=5))
        assert len(handler.preprocess(PAIRS).parts) > 1
        assert_alike(handler, sources["bert"], [*PAIRS, *TEXTS])

    @pytest.mark.thorough
    def test_are_padded_to_ready_shapes(self, sources: dict[str, Path], tmp_path: Path) -> None:
        handler, _ = served(sources["electra"], tmp_path / "archive", pad_to_multiple_of=16)
        assert_alike(handler, sources["electra"], [*PAIRS, *TEXTS])

    @pytest.mark.parametrize(
        ("family", "config", "names"),
        [
            ("bert", {}, ["input_ids", "attention_mask"]),  # transformers then tells the model no types
            ("albert", {}, ["input_ids", "token_type_ids", "attention_mask"]),
            ("deberta-v2", {"type_vocab_size": 2}, ["input_ids", "token_type_ids", "attention_mask"]),
        ],
    )
    def test_have_their_types_told_where_transformers_does(
        self, tmp_path: Path, family: str, config: dict[str, Any], names: list[str]
    ) -> None:
        source = classifier(family, tmp_path / "source", **config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, model_input_names=names)
        tokenizer.save_pretrained(source)
        handler, _ = served(source, tmp_path / "archive")
        assert handler.encoder.has_types == ("token_type_ids" in names)
        assert_alike(handler, source, PAIRS)


class TestSpecialTokensInTexts:
    @pytest.mark.parametrize("split", [True, False])
    @pytest.mark.parametrize("family", ["bert", "roberta"])
    def test_are_read_as_the_tokenizer_says(self, tmp_path: Path, family: str, split: bool) -> None:
        source = classifier(family, tmp_path / "source")
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, split_special_tokens=split)
        tokenizer.save_pretrained(source)
        handler, _ = served(source, tmp_path / "archive")
        texts = [f"Great {tokenizer.sep_token} value", f"{tokenizer.mask_token} I left"]
        assert_alike(handler, source, [*texts, (texts[0], texts[1])])


class TestHeads:
    @pytest.mark.thorough
    @pytest.mark.parametrize("family", ["bert", "deberta-v2"])
    def test_of_labels_each_by_itself_give_each_a_probability(self, tmp_path: Path, family: str) -> None:
        source = classifier(family, tmp_path / "source", problem_type="multi_label_classification")
        handler, _ = served(source, tmp_path / "archive")
        assert_alike(handler, source, [*TEXTS, *PAIRS])
        [answer] = handler.predict(TEXTS[:1])
        assert sum(entry["probability"] for entry in answer) != pytest.approx(1, abs=1e-2)

    @pytest.mark.thorough
    @pytest.mark.parametrize("labels", [1, 3])
    def test_of_a_regression_give_the_raw_score(self, tmp_path: Path, labels: int) -> None:
        source = classifier("bert", tmp_path / "source", labels, problem_type="regression")
        handler, _ = served(source, tmp_path / "archive")
        assert_alike(handler, source, [*TEXTS, *PAIRS], told_as="score")
        assert set(handler.predict(TEXTS[:1])[0][0]) == {"label", "score"}

    def test_of_one_label_without_a_problem_give_the_raw_score(self, tmp_path: Path) -> None:
        source = classifier("distilbert", tmp_path / "source", labels=1)
        handler, _ = served(source, tmp_path / "archive")
        assert_alike(handler, source, [*TEXTS], told_as="score", function="none")

    def test_of_one_label_by_itself_give_its_probability(self, tmp_path: Path) -> None:
        problem = "multi_label_classification"
        source = classifier("bert", tmp_path / "source", labels=1, problem_type=problem)
        handler, _ = served(source, tmp_path / "archive")
        assert_alike(handler, source, [*TEXTS])

    def test_in_bfloat16_press_fp32_logits(self, tmp_path: Path) -> None:
        source = classifier("bert", tmp_path / "source", problem_type="multi_label_classification")
        handler, _ = served(source, tmp_path / "archive", precision="bf16")
        assert str(handler.forward(handler.preprocess(PAIRS)).dtype) == "torch.float32"
