"""Odd names are refused before they are in a file, a URL or a command."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.fleet.manifests import Site
from experiments.fleet.manifests.names import LONGEST_NAME
from experiments.fleet.manifests.pods import pods_of
from tests.experiments.fleet.manifests.services import on_cpu, on_gpu

ODD = st.one_of(
    st.text(),
    st.text(alphabet="abz09-_.:/ \n\t\"'{}%$#&*!|>@`\\", max_size=80),
    st.sampled_from(
        ["", "a\n", "-a", "a-", "A", "a: b", "{{ a }}", "%i", "$(id)", "../x", "a" * 41, "é", "a\x00"]
    ),
)
PLAIN = re.compile(rf"[a-z]([a-z0-9-]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?")
REFUSED_ANYWHERE = set("\n\t\"'{}%$#&*!|>`\\ \x00")


@contextmanager
def refused_in_one_line() -> Iterator[None]:
    """What is inside may raise a UsageError of one line; else all of it holds."""
    told = ""
    try:
        yield
    except UsageError as error:
        told = str(error)
    assert "\n" not in told


@given(name=ODD)
def test_a_service_has_a_plain_name_or_is_refused(name: str) -> None:
    with refused_in_one_line():
        pods_of(on_cpu(name=name), "kubernetes")
        assert PLAIN.fullmatch(name)


@given(name=ODD)
def test_an_archive_is_a_file_of_the_store_or_is_refused(name: str) -> None:
    with refused_in_one_line():
        archive = pods_of(on_cpu(archive=name), "kubernetes").archive
        assert archive.endswith(".mar")
        assert not REFUSED_ANYWHERE & set(archive)
        assert "/" not in archive


@given(name=ODD)
def test_a_card_is_a_label_or_is_refused(name: str) -> None:
    with refused_in_one_line():
        card = pods_of(on_gpu(card=name), "kubernetes").service.card or ""
        assert not REFUSED_ANYWHERE & set(card.replace(" ", "-"))


@pytest.mark.parametrize(
    "field",
    ["image", "namespace", "prometheus", "monitoring_namespace", "models_claim", "secret_arn", "prefix"],
)
@given(name=ODD)
def test_what_a_site_names_is_plain_or_refused(field: str, name: str) -> None:
    with refused_in_one_line():
        Site(**{field: name})
        assert not REFUSED_ANYWHERE & set(name)


@pytest.mark.parametrize(("archive", "file"), [("model_store/bert.mar", "bert.mar"), ("bert", "bert.mar")])
def test_an_archive_may_be_named_by_its_path_or_without_its_ending(archive: str, file: str) -> None:
    assert pods_of(on_cpu(archive=archive), "kubernetes").archive == file
