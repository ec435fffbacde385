"""What headers say of a request's parts. They are as TorchServe 0.12.0 was seen to hand them over."""

from typing import Any

import pytest

from handlers.request.declared import content_types
from handlers.request.refusal import PayloadError


def with_part(name: str, kind: str, **headers: str) -> dict[str, Any]:
    said = {key.replace("_", "-"): value for key, value in headers.items()}
    return {name: {"content-type": kind}, "explain": "False", "Host": "here"} | said


def refused(headers: dict[str, Any]) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        content_types(headers, {"body": b"x"})
    return caught.value


@pytest.mark.parametrize("name", ["Content_Type", "content_type", "CONTENT_TYPE"])
def test_the_parameters_of_a_bodys_type_are_in_the_requests_header(name: str) -> None:
    headers = with_part("body", "text/plain", **{name: "text/plain; charset=iso-8859-1"})
    assert content_types(headers, {"body": b"x"}) == {"body": "text/plain; charset=iso-8859-1"}


def test_a_form_field_has_the_charset_of_the_form() -> None:
    whole = "application/x-www-form-urlencoded; charset=iso-8859-1"
    assert content_types(with_part("data", "", Content_Type=whole), {"data": b"x"}) == {"data": whole}


def test_a_part_of_several_keeps_its_own() -> None:
    headers = with_part("data", "image/png", Content_Type="multipart/form-data; boundary=x")
    assert content_types(headers, {"data": b"x"}) == {"data": "image/png"}


@pytest.mark.parametrize("kind", ["", "text/plain"])
def test_a_part_may_be_named_body(kind: str) -> None:
    for whole in ("multipart/form-data; boundary=x", "Multipart/Form-Data;boundary=x"):
        headers = with_part("body", kind, Content_Type=whole)
        assert content_types(headers, {"body": b"x"}) == {"body": kind}
    form = "application/x-www-form-urlencoded"
    assert content_types(with_part("body", "", Content_Type=form), {"body": b"x"}) == {"body": form}


def test_a_form_that_torchserve_left_whole_is_no_text() -> None:
    whole = "application/x-www-form-urlencoded ; charset=utf-8"
    error = refused(with_part("body", whole.partition(";")[0], Content_Type=whole))
    assert error.status == 415
    assert repr(whole[:40])[:-1] in error.reason
    form = "application/x-www-form-urlencoded"
    assert refused(with_part("body", form, Content_Type=form)).status == 415
    parts = with_part("body", "multipart/form-data", Content_Type="multipart/form-data")
    assert content_types(parts, {"body": b"x"}) == {"body": "multipart/form-data"}


def test_two_types_are_neither() -> None:
    """TorchServe tells the first, and hands over the last."""
    headers = with_part("body", "text/plain", Content_Type="application/json")
    assert content_types(headers, {"body": b"x"}) == {"body": "text/plain, application/json"}


def test_nothing_said_is_nothing_declared() -> None:
    assert content_types({}, {"body": b"x"}) == {"body": ""}


def test_a_header_that_hides_a_type_is_refused() -> None:
    error = refused({"body": "what a client called its header", "Content-Type": "application/json"})
    assert error.status == 400


@pytest.mark.parametrize(
    "encoding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "gzip, identity", "?"]
)
def test_an_encoding_is_named(encoding: str) -> None:
    error = refused(with_part("body", "text/plain", content_encoding=encoding))
    assert error.status == 415
    assert repr(encoding) in error.reason


@pytest.mark.parametrize("encoding", ["identity", " Identity", ""])
def test_no_encoding_is_none(encoding: str) -> None:
    headers = with_part("body", "text/plain", Content_Encoding=encoding)
    assert content_types(headers, {"body": b"x"}) == {"body": "text/plain"}


def test_explanations_are_not_served() -> None:
    headers = with_part("body", "text/plain", Explain="False") | {"explain": "True"}
    error = refused(headers)
    assert error.status == 501
    assert "/predictions/" in error.reason
