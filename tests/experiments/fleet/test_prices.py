"""The prices of a user: read, or refused in one line."""

from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.fleet.prices import read_prices

HEAD = "currency: EUR\nregion: north\ndate: 2026-11-26\n"
ONE = "  - {kind: small, vcpus: 4, memory_gib: 16, price_per_hour: 0.2}\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.yaml"
    path.write_text(text, "utf-8")
    return path


def test_what_a_node_needs_for_itself_is_taken_off(tmp_path: Path) -> None:
    text = HEAD + (
        "instances:\n  - {kind: t4, gpus: 1, card: T4, gpu_memory_gib: 16, vcpus: 8, taken_vcpus: 2, "
        "memory_gib: 32, taken_memory_gib: 4, price_per_hour: 0.75}\n"
    )
    prices = read_prices(written(tmp_path, text))
    (kind,) = prices.with_card("T4")
    assert (kind.vcpus, kind.memory_bytes, kind.gpu_memory_bytes) == (6, 28 * 2**30, 16 * 2**30)
    assert str(prices) == "EUR, north, 2026-11-26"


def test_the_example_says_that_it_is_made_up() -> None:
    prices = read_prices(ROOT / "examples" / "fleet-prices.yaml")
    assert "made-up" in str(prices)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD, "`instances` is missing"),
        (HEAD + "instances: []", "`instances` is a list with something in it, not []"),
        ("region: north\ndate: today\ninstances:\n" + ONE, "`currency` is missing"),
        ("currency: EUR\nregion: north\ninstances:\n" + ONE, "`date` is missing"),
        (HEAD + "instances:\n" + ONE + ONE, "small has two prices: leave one"),
        (
            HEAD + "instances:\n" + ONE + ONE.replace("small", "other, currency: USD"),
            "instance 2: its price is in USD, the file's in EUR: use one currency",
        ),
        (HEAD + "instances:\n" + ONE.replace("0.2}", "0}"), "`price_per_hour` is above 0, not 0"),
        (HEAD + "instances:\n" + ONE.replace("0.2}", "-1}"), "`price_per_hour` is above 0, not -1"),
        (HEAD + "instances:\n" + ONE.replace("0.2}", "cheap}"), "`price_per_hour` is a number, not 'cheap'"),
        (
            HEAD + "instances:\n" + ONE.replace("vcpus: 4", "gpus: 1, vcpus: 4"),
            "`gpus` and `card` go together",
        ),
        (
            HEAD + "instances:\n" + ONE.replace("vcpus: 4", "taken_vcpus: 4, vcpus: 4"),
            "nothing of it is left",
        ),
        (HEAD + "instances:\n" + ONE.replace("vcpus", "cpus"), "`cpus` is not known: use kind"),
        ("currency: [", "is no YAML"),
    ],
)
def test_prices_that_are_none(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_prices(written(tmp_path, text))
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_card_without_a_price(tmp_path: Path) -> None:
    prices = read_prices(written(tmp_path, HEAD + "instances:\n" + ONE))
    with pytest.raises(UsageError, match="there is no price for a card 'T4', only for none: add one"):
        prices.with_card("T4")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't be read .*: give the file of prices"):
        read_prices(tmp_path / "none.yaml")
