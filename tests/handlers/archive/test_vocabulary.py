"""The vocabulary of a random checkpoint: of the same corpus always the same, in whatever process."""

from tokenizers import normalizers, pre_tokenizers

from handlers.archive.vocabulary import often_first, word_pieces, words_of

WORDS = words_of(
    ["To be, or not to be", "that is it"],
    normalizers.BertNormalizer(lowercase=True),
    pre_tokenizers.BertPreTokenizer(),
)


def test_words_are_cut_as_the_tokenizer_cuts_them_and_the_frequent_come_first() -> None:
    assert often_first(WORDS) == ["be", "to", ",", "is", "it", "not", "or", "that"]
    assert words_of(["To be"], None, pre_tokenizers.Metaspace()) == {"▁To": 1, "▁be": 1}


def test_specials_letters_and_words_have_the_first_ids() -> None:
    vocabulary = word_pieces(WORDS, 100, ["[PAD]", "[UNK]"])
    assert list(vocabulary.values()) == list(range(len(vocabulary)))
    assert list(vocabulary)[:6] == ["[PAD]", "[UNK]", ",", "a", "b", "e"]
    assert {"##e", "##t", "be", "that"} <= vocabulary.keys()
    assert list(vocabulary)[-3:] == ["not", "or", "that"]


def test_it_keeps_to_its_size_and_leaves_out_rare_words() -> None:
    all_of_it = word_pieces(WORDS, 100, ["[PAD]", "[UNK]"])
    size = len(all_of_it) - 3
    vocabulary = word_pieces(WORDS, size, ["[PAD]", "[UNK]"])
    assert len(vocabulary) == size
    assert all_of_it.keys() - vocabulary.keys() == {"not", "or", "that"}
