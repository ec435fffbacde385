"""What the control daemon prints of static partitions, understood in both of its forms."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mps.control import MpsError, Partition, Room
from mps.control.partitions import parse_created, parse_lspart

UUID = "GPU-5d1f0c4e-0000-4a3b-8c2d-0123456789ab"
SHORT = UUID[:12]

WITH_DASHES = """
GPU            Partition  free   used   free  used  clients
                          chunk  chunk  SM    SM
GPU-5d1f0c4e   -          8      7      64    56    -
GPU-5d1f0c4e   Dx4A/AA    -      4      -     32    Yes
GPU-5d1f0c4e   Ex4AAAA    -      3      -     24    No
"""
WITH_BLANKS = WITH_DASHES.replace(" - ", "   ").replace(" -\n", "\n")


@pytest.mark.parametrize("answer", [WITH_DASHES, WITH_BLANKS])
def test_partitions_are_listed_with_what_is_left(answer: str) -> None:
    rooms, partitions = parse_lspart(answer.splitlines())
    assert rooms == [
        Room(SHORT, free_chunks=8, used_chunks=7, free_multiprocessors=64, used_multiprocessors=56)
    ]
    assert partitions == [
        Partition(SHORT, "Dx4A/AA", chunks=4, multiprocessors=32, has_clients=True),
        Partition(SHORT, "Ex4AAAA", chunks=3, multiprocessors=24, has_clients=False),
    ]


def test_without_a_server_nothing_is_listed() -> None:
    assert parse_lspart([]) == ([], [])


def test_a_line_that_is_not_understood_is_not_left_out() -> None:
    with pytest.raises(MpsError, match="can't be read: 'GPU-5d1f0c4e Dx4AAAA many'"):
        parse_lspart(["GPU-5d1f0c4e Dx4AAAA many"])


@given(st.lists(st.text()))
def test_no_answer_is_worse_than_unreadable(lines: list[str]) -> None:
    with suppress(MpsError):
        parse_lspart(lines)
    parse_created(lines)


@pytest.mark.parametrize("answer", [f"Partition {UUID}/Dx4A/AA created", f"{UUID}/Dx4A/AA", "Dx4A/AA"])
def test_a_new_partition_has_an_id_that_may_hold_slashes(answer: str) -> None:
    assert parse_created([answer]) == "Dx4A/AA"


def test_nothing_was_made_where_the_answer_is_a_sentence() -> None:
    refusal = "Failed to fulfill the requested SM partition of 28 chunks, error CUDA_ERROR_INVALID_VALUE"
    assert parse_created([refusal]) is None
    assert parse_created([]) is None


def test_a_client_is_told_its_partition_by_its_environment() -> None:
    partition = Partition(UUID, "Dx4A/AA", 4, 32, has_clients=False)
    assert partition.env == {"CUDA_MPS_SM_PARTITION": f"{UUID}/Dx4A/AA"}
