"""Tiny checkpoints of each family of encoders: the real architecture with seeded random weights, and the
family's own tokenizer, made of the corpus of the archives. Made and run in milliseconds.
"""

import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from math import log
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers, processors, trainers

from handlers.archive.archives import CORPUS
from handlers.archive.vocabulary import often_first, word_pieces, words_of

VOCABULARY = 600
MAX_TOKENS = 64

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_TOKENS,
    "initializer_range": 0.3,  # larger than in real models: different texts get clearly different answers
}
# RoBERTa and what descends from it counts positions from behind its padding's id.
SIZES_AFTER_PADDING = SIZES | {"max_position_embeddings": MAX_TOKENS + 2, "pad_token_id": 1}
SIZES_OF_DISTILBERT = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 64,
    "max_position_embeddings": MAX_TOKENS,
    "initializer_range": 0.3,
}


def classifier(family: str, folder: Path, labels: int = 3, **config: Any) -> Path:
    """A sequence classifier of `family` with its tokenizer -> `folder`. `config` goes to its config.json."""
    return _save(
        family, folder, transformers.AutoModelForSequenceClassification, {"num_labels": labels} | config
    )


def encoder(family: str, folder: Path, **config: Any) -> Path:
    """A bare encoder of `family` with its tokenizer -> `folder`."""
    return _save(family, folder, transformers.AutoModel, config)


def _save(family: str, folder: Path, auto_class: Any, config: dict[str, Any]) -> Path:
    make_config, make_tokenizer, sizes = FAMILIES[family]
    tokenizer = make_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        auto_class.from_config(make_config(vocab_size=len(tokenizer), **(sizes | config))).save_pretrained(
            folder
        )
    tokenizer.save_pretrained(folder)
    return folder


@cache
def _lines() -> tuple[str, ...]:
    return tuple(CORPUS.read_text().splitlines())


@cache
def _words(*special: str) -> dict[str, int]:
    """The vocabulary of a WordPiece tokenizer."""
    cased = tokenizers.normalizers.BertNormalizer(lowercase=False)
    return word_pieces(words_of(_lines(), cased, pre_tokenizers.BertPreTokenizer()), VOCABULARY, special)


@cache
def _pieces(*special: str) -> list[tuple[str, float]]:
    """The vocabulary of a SentencePiece tokenizer with its scores, logarithms of how often: special tokens
    first, then all letters and whole words."""
    words = words_of(_lines(), None, pre_tokenizers.Metaspace())
    letters = Counter(letter for word, count in words.items() for letter in word * count)
    pieces = [*often_first(letters), *(word for word in often_first(words) if len(word) > 1)]
    total = letters.total()
    scored = [(piece, log(max(words[piece], 1) / total)) for piece in pieces]
    return [*((token, 0.0) for token in special), *scored][:VOCABULARY]


@cache
def _byte_pairs(*special: str) -> tuple[dict[str, int], list[Any]]:
    """The vocabulary and the merges of a byte-level tokenizer."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[*special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_lines(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


BERTS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTAS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def _bert() -> Any:
    return transformers.BertTokenizer(vocab=_words(*BERTS), model_max_length=MAX_TOKENS)


def _distilbert() -> Any:
    return transformers.DistilBertTokenizer(vocab=_words(*BERTS), model_max_length=MAX_TOKENS)


def _electra() -> Any:
    return transformers.ElectraTokenizer(vocab=_words(*BERTS), model_max_length=MAX_TOKENS)


def _mpnet() -> Any:
    vocabulary = _words("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
    return transformers.MPNetTokenizer(vocab=vocabulary, model_max_length=MAX_TOKENS)


def _roberta() -> Any:
    vocabulary, merges = _byte_pairs(*ROBERTAS)
    return transformers.RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def _xlm_roberta() -> Any:
    return transformers.XLMRobertaTokenizer(vocab=_pieces(*ROBERTAS), model_max_length=MAX_TOKENS)


def _camembert() -> Any:
    return transformers.CamembertTokenizer(vocab=_pieces(*ROBERTAS), model_max_length=MAX_TOKENS)


def _albert() -> Any:
    vocabulary = _pieces("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
    return transformers.AlbertTokenizer(vocab=vocabulary, model_max_length=MAX_TOKENS)


def _deberta() -> Any:
    vocabulary = _pieces(*BERTS)
    return transformers.DebertaV2Tokenizer(vocab=vocabulary, model_max_length=MAX_TOKENS)


def _modernbert() -> Any:
    vocabulary, merges = _byte_pairs(*BERTS)
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=MAX_TOKENS,
    )


_DEBERTA_V2 = SIZES | {
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 8,
    "pos_att_type": ["p2c", "c2p"],
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
    "pooler_hidden_size": 32,
}
_MODERNBERT = SIZES | {
    "global_attn_every_n_layers": 2,
    "local_attention": 8,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "cls_token_id": 2,
    "eos_token_id": 3,
    "sep_token_id": 3,
}

# family -> its configuration, its tokenizer, and what makes the configuration a tiny one
FAMILIES: dict[str, tuple[Any, Callable[[], Any], dict[str, Any]]] = {
    "bert": (transformers.BertConfig, _bert, SIZES),
    "distilbert": (transformers.DistilBertConfig, _distilbert, SIZES_OF_DISTILBERT),
    "electra": (transformers.ElectraConfig, _electra, SIZES | {"embedding_size": 16}),
    "albert": (transformers.AlbertConfig, _albert, SIZES | {"embedding_size": 16}),
    "roberta": (transformers.RobertaConfig, _roberta, SIZES_AFTER_PADDING),
    "xlm-roberta": (transformers.XLMRobertaConfig, _xlm_roberta, SIZES_AFTER_PADDING),
    "camembert": (transformers.CamembertConfig, _camembert, SIZES_AFTER_PADDING),
    "mpnet": (transformers.MPNetConfig, _mpnet, SIZES_AFTER_PADDING),
    "deberta-v2": (transformers.DebertaV2Config, _deberta, _DEBERTA_V2),
    "modernbert": (transformers.ModernBertConfig, _modernbert, _MODERNBERT),
}
