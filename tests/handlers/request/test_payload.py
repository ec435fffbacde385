"""Requests as TorchServe presents them. Each row was seen to arrive from the curl command beside it."""

import base64
import io
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from handlers.request.declared import FIELDS, IMAGE, TEXT
from handlers.request.payload import Limits, Payload, decode, image_of, read, text_of
from handlers.request.refusal import PayloadError, quoted
from handlers.request.wire import Discarded, Repeated
from tests.support.bodies import png_of_zeros

LIMITS = Limits(text_bytes=100, image_bytes=20_000, image_pixels=10_000, instances=3)


def texts(row: dict[str, object], content_type: str = "") -> Payload[str]:
    return read(row, partial(text_of, limits=LIMITS), LIMITS, TEXT, dict.fromkeys(row, content_type))


def sizes(row: dict[str, object], content_type: str = "") -> Payload[tuple[int, int]]:
    types = dict.fromkeys(row, content_type)
    return read(row, lambda value: decode(image_of(value, LIMITS)).size, LIMITS, IMAGE, types)


def refused(call: Any, *arguments: Any) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        call(*arguments)
    return caught.value


def an_image(width: int = 40, height: int = 30, *, form: str = "JPEG", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height), 1).save(file, form)
    return file.getvalue()


def in_base64(body: bytes) -> str:
    return base64.b64encode(body).decode()


class TestOneText:
    @pytest.mark.parametrize(
        "row",
        [
            pytest.param({"data": bytearray(b"a good film")}, id="curl -d 'data=a good film'"),
            pytest.param({"body": bytearray(b"a good film")}, id="curl -T file"),
            pytest.param({"data": "a good film"}, id="curl -F data=@file.txt"),
            pytest.param({"data": bytearray(b"a good film")}, id="curl -F data=@file"),
            pytest.param({"body": "a good film"}, id="curl -H 'Content-Type: text/plain' -d ..."),
            pytest.param({"body": {"data": "a good film"}}, id="JSON, data"),
            pytest.param({"body": {"text": "a good film"}}, id="JSON, text"),
            pytest.param({"body": {"inputs": "a good film"}}, id="JSON, as Hugging Face has it"),
            pytest.param({"data": {"data": "a good film"}}, id="curl -F 'data=@file;type=application/json'"),
            pytest.param({"body": bytearray(b'{"data": "a good film"}')}, id="curl -T file.json"),
            pytest.param({"body": b"\xef\xbb\xbfa good film"}, id="a file with a byte order mark"),
        ],
    )
    def test_arrives_whichever_way_it_was_sent(self, row: dict[str, object]) -> None:
        assert texts(row) == Payload(("a good film",), "single")

    def test_may_look_like_json_without_being_ours(self) -> None:
        assert texts({"body": b"{no json} at all"}).items == ("{no json} at all",)
        assert texts({"body": b'{"colour": "blue"}'}).items == ('{"colour": "blue"}',)

    def test_is_answered_with_the_bare_prediction(self) -> None:
        assert texts({"data": "a"}).answer(["fine"]) == "fine"


class TestSeveralTexts:
    def test_in_a_list_are_answered_with_a_list(self) -> None:
        for body in ({"data": ["a", "b"]}, ["a", {"data": "b"}]):
            payload = texts({"body": body})
            assert payload.items == ("a", "b")
            assert payload.answer([1, 2]) == [1, 2]

    def test_in_instances_are_answered_with_predictions(self) -> None:
        for instances in (["a", "b"], [{"data": "a"}, {"text": "b"}]):
            payload = texts({"body": {"instances": instances}})
            assert payload.items == ("a", "b")
            assert payload.answer([1, 2]) == {"predictions": [1, 2]}

    def test_a_list_of_one_stays_a_list(self) -> None:
        assert texts({"body": {"data": ["a"]}}).answer([1]) == [1]

    def test_the_bad_one_is_named(self) -> None:
        error = refused(texts, {"body": {"instances": ["a", 5]}})
        assert (error.status, error.reason) == (400, "input 1 of 2: expected a text, got a number")

    def test_too_many_are_refused(self) -> None:
        assert refused(texts, {"body": {"instances": ["a"] * 4}}).status == 413

    def test_none_at_all_are_refused(self) -> None:
        assert refused(texts, {"body": {"instances": []}}).status == 400


A_PAIR = {"text": "Is it quiet?", "text_pair": "It does not make a sound."}


class TestPairsOfTexts:
    """The handler reads them, if it can: here they come through whole, never as their first text alone."""

    @pytest.mark.parametrize(
        ("body", "form"),
        [
            (A_PAIR, "single"),
            (json.dumps(A_PAIR).encode(), "single"),
            ({"data": A_PAIR}, "single"),
            ([A_PAIR], "list"),
            ({"inputs": [A_PAIR]}, "list"),
            ({"instances": [A_PAIR]}, "predictions"),
        ],
    )
    def test_are_one_input_wherever_they_stand(self, body: object, form: str) -> None:
        assert read({"body": body}, lambda value: value, LIMITS, TEXT) == Payload((A_PAIR,), form)

    def test_are_no_text(self) -> None:
        error = refused(texts, {"body": A_PAIR})
        assert (error.status, error.reason) == (400, "expected a text, got an object")


class TestWhatIsNotUnderstood:
    """Refused by its name: an answer to something else would look like an answer."""

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            ({"data": "a", "top_k": 3}, "top_k"),
            ({"inputs": "a", "parameters": {"top_k": 3}}, "parameters"),
            ({"inputs": "a", "normalize": False}, "normalize"),
            ({"text": "a", "text_pair": "b", "top_k": 2}, "top_k"),
            ({"data": ["a", "b"], "top_k": 3}, "top_k"),
            ({"instances": ["a"], "signature_name": "serving"}, "signature_name"),
            ({"instances": ["a"], "data": "b"}, "data"),
            ({"instances": ["a", {"text": "b", "label": 1}]}, "label"),
            ({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}, "name"),
            ({"data": {"text": "a", "x": 1}}, "x"),
            ({"b64": "aGVsbG8="}, "b64"),
            ({"instances": [{"image": "aGVsbG8="}]}, "image"),
            ({"data\nx" * 200: "a"}, "data\\\\nx"),
        ],
    )
    def test_a_key_of_json(self, body: object, name: str) -> None:
        for sent in (body, json.dumps(body).encode()):
            error = refused(texts, {"body": sent}, "application/json")
            assert error.status == 400
            assert name.replace("\\\\", "\\") in error.reason
            assert "\n" not in error.reason
            assert len(error.reason) < 300

    @pytest.mark.parametrize(
        "row",
        [
            {"data": b"a", "top_k": b"3"},
            {"data": b"a", "text_pair": b"b"},
            {"data": b"", "top_k": b"3"},
            {"top_k": b"3"},
        ],
    )
    def test_a_field_of_a_form(self, row: dict[str, object]) -> None:
        error = refused(texts, row)
        assert error.status == 400
        assert list(row)[-1] in error.reason

    def test_two_parts_of_one_name(self) -> None:
        for row in ({"data": Repeated()}, {"data": Repeated(), "x": b"1"}):
            error = refused(texts, row)
            assert error.status == 400
            assert "'data'" in error.reason

    def test_an_input_of_another_kind_of_model(self) -> None:
        for name in ("b64", "image"):
            assert refused(texts, {name: b"aGVsbG8="}).status == 400
        for row in ({"text": in_base64(an_image()).encode()}, {"body": {"text": in_base64(an_image())}}):
            assert refused(sizes, row).status == 400


class TestJsonThatDeclaresNothing:
    @pytest.mark.parametrize("declared", ["", "text/plain", "application/octet-stream"])
    @pytest.mark.parametrize(
        "body",
        [
            b'["a", "b"]',
            b' \r\n["a", {"text": "b"}]',
            b"\xef\xbb\xbf" + b'["a", "b"]',
            b" " * 100 + b'{"data": ["a", "b"]}',
        ],
    )
    def test_is_read_where_it_has_the_shape_of_ours(self, body: bytes, declared: str) -> None:
        assert texts({"body": body}, declared) == Payload(("a", "b"), "list")

    @pytest.mark.parametrize("body", [b"[]", b"[1, 2]", b'["a", 1]', b"[1] a footnote", b'"a"', b"5"])
    def test_is_a_text_where_it_has_not(self, body: bytes) -> None:
        assert texts({"body": body}) == Payload((body.decode(),), "single")

    @pytest.mark.parametrize(
        "body",
        [
            b'{"data": "a",}',
            b'{"data": NaN}',
            b'{"data": "a", "data": "b"}',
            b'{"data": "a"} {}',
            b'[{"data": "a",}]',
            b'["a", {"text": "b"}',
            b'[{"text": ' + b"[" * 100_000,
        ],
    )
    def test_is_no_text_where_it_is_damaged(self, body: bytes) -> None:
        error = refused(texts, {"body": body})
        assert error.status == 400
        assert "looks like JSON" in error.reason

    def test_is_json_however_long_its_numbers_are(self) -> None:
        """Python's int takes 4,300 digits, JSON as many as there are."""
        for body in (b'[{"text": %s}]', b'{"text": %s}', b'[{"text": -%s}]'):
            assert refused(texts, {"body": body % (b"1" * 5000)}).reason.endswith("got a number")


class TestDeclaredTypes:
    @pytest.mark.parametrize(
        "declared",
        [
            "application/json",
            "Application/JSON",
            "APPLICATION/JSON; charset=utf-8",
            ' application/json ;charset="UTF-8"',
            "application/vnd.api+json",
            "application/ld+json; profile=x",
            "text/json",
        ],
    )
    def test_json_is_json_however_it_is_spelt(self, declared: str) -> None:
        assert texts({"body": b'["a", "b"]'}, declared) == Payload(("a", "b"), "list")
        assert refused(texts, {"body": b"[1, 2]"}, declared).status == 400
        assert refused(texts, {"body": b"a good film"}, declared).status == 400
        assert texts({"body": b'"a good film"'}, declared) == Payload(("a good film",), "single")

    @pytest.mark.parametrize(
        "declared",
        ["image/jpeg", "IMAGE/PNG", "application/pdf", "multipart/mixed", "application/x-ndjson", "textual"],
    )
    def test_another_is_named(self, declared: str) -> None:
        error = refused(texts, {"body": b"a good film"}, declared)
        assert error.status == 415
        assert repr(declared) in error.reason

    @pytest.mark.parametrize("declared", ["text/html", "audio/wav", "application/pdf", "multipart/mixed"])
    def test_another_than_an_image_is_named(self, declared: str) -> None:
        error = refused(sizes, {"body": an_image()}, declared)
        assert error.status == 415
        assert repr(declared) in error.reason

    @pytest.mark.parametrize(
        ("charset", "codec"),
        [
            ("iso-8859-1", "latin-1"),
            ("ISO-8859-15", "iso8859-15"),
            ("windows-1252", "cp1252"),
            ('"utf-8"', "utf-8"),
        ],
    )
    def test_a_charset_is_heeded(self, charset: str, codec: str) -> None:
        assert texts({"body": "café".encode(codec)}, f"text/plain; charset={charset}").items == ("café",)
        sent = '{"data": "café"}'.encode(codec)
        assert texts({"body": sent}, f"application/json; charset={charset}").items == ("café",)

    @pytest.mark.parametrize(
        "charset",
        ["utf-16", "shift_jis", "hex", "utf-7", "idna", "", "x; charset=utf-8", "utf-8; charset=ascii"],
    )
    def test_an_unknown_charset_is_unsupported(self, charset: str) -> None:
        for kind in ("text/plain", "application/json"):
            assert refused(texts, {"body": b'"caf+AOk-"'}, f"{kind}; charset={charset}").status == 415

    def test_bytes_of_another_charset_are_unsupported(self) -> None:
        assert refused(texts, {"body": b"caf\xe9"}, "text/plain; charset=us-ascii").status == 415
        error = refused(texts, {"body": b'"caf\xe9"'}, "application/json")
        assert (error.status, error.reason) == (400, "declared as JSON, but it is not: it is not UTF-8")

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b'{"data": "a", "data": "b"}', "'data' is there twice"),
            (b'{"instances": ["a"], "instances": ["b"]}', "'instances' is there twice"),
            (b'[{"text": "a", "text": "a"}]', "'text' is there twice"),
            (b'{"data": NaN}', "NaN"),
            (b'["a", -Infinity]', "-Infinity"),
        ],
    )
    def test_what_python_alone_calls_json_is_refused(self, body: bytes, told: str) -> None:
        error = refused(texts, {"body": body}, "application/json")
        assert error.status == 400
        assert told in error.reason


class TestBadText:
    @pytest.mark.parametrize(
        "row",
        [
            pytest.param({}, id="curl -d 'a good film'"),
            pytest.param({"body": bytearray()}, id="curl -X POST"),
            pytest.param({"data": "  \n"}, id="blank"),
            pytest.param({"body": {"data": ""}}, id="blank in JSON"),
        ],
    )
    def test_empty_is_told_how_to_send(self, row: dict[str, object]) -> None:
        error = refused(texts, row)
        assert error.status == 400
        assert "--data-urlencode" in error.reason

    @pytest.mark.parametrize(
        "row",
        [
            pytest.param({"x ": bytearray(b" 5")}, id="curl -d 'x = 5'"),
            pytest.param({"data": bytearray(b"a"), " b ": bytearray(b" c")}, id="curl -d 'data=a& b = c'"),
            pytest.param({"data": "a", "body": "b"}, id="curl -F data=a -F body=b"),
        ],
    )
    def test_a_form_that_tore_the_text_apart_is_not_guessed_at(self, row: dict[str, object]) -> None:
        error = refused(texts, row)
        assert error.status == 400
        assert "Escape '&'" in error.reason

    def test_bytes_that_are_no_text_are_unsupported_media(self) -> None:
        assert refused(texts, {"body": bytearray(an_image()[:99])}).status == 415
        assert refused(texts, {"body": "caf\xe9".encode("latin-1")}).status == 415
        assert refused(texts, {"body": b"\0\0\0"}).status == 415

    def test_half_a_surrogate_pair_is_no_text(self) -> None:
        assert refused(texts, {"body": {"data": json.loads(r'"\ud800"')}}).status == 400

    def test_longer_than_the_limit_is_too_large(self) -> None:
        assert texts({"body": "x" * 100}).items
        assert refused(texts, {"body": "x" * 101}).status == 413
        assert refused(texts, {"body": "é" * 51}).status == 413

    def test_a_body_beyond_its_limit_is_known_by_its_size_alone(self) -> None:
        error = refused(texts, {"body": Discarded(10**9)}, "application/json")
        assert (error.status, error.reason) == (
            413,
            f"body of 1000000000 bytes: at most {LIMITS.body_bytes} are allowed",
        )

    @pytest.mark.parametrize(
        "body", [5, None, True, {}, {"other": "a"}, {"data": "a", "text": "b"}, {"data": 5}]
    )
    def test_json_of_another_shape_is_refused(self, body: object) -> None:
        assert refused(texts, {"body": body}, "application/json").status == 400

    def test_broken_json_is_told_where(self) -> None:
        error = refused(texts, {"body": bytearray(b'{"data": oops}')}, "application/json; charset=utf-8")
        assert error.status == 400
        assert "line 1, column 10" in error.reason


class TestOneImage:
    @pytest.mark.parametrize(
        "row",
        [
            pytest.param({"body": bytearray(an_image())}, id="curl -T photo.jpg"),
            pytest.param({"data": bytearray(an_image())}, id="curl -F data=@photo.jpg"),
            pytest.param({"body": {"data": in_base64(an_image())}}, id="JSON, data"),
            pytest.param({"body": {"b64": in_base64(an_image())}}, id="JSON, b64"),
            pytest.param(
                {"body": {"data": f"data:image/jpeg;base64,{in_base64(an_image())}"}}, id="data URI"
            ),
            pytest.param(
                {"data": in_base64(an_image()).replace("+", " ").encode()}, id="unescaped in a form"
            ),
            pytest.param({"body": base64.encodebytes(an_image())}, id="base64 with line breaks"),
            pytest.param({"body": {"data": base64.urlsafe_b64encode(an_image()).decode()}}, id="for URLs"),
        ],
    )
    def test_arrives_whichever_way_it_was_sent(self, row: dict[str, object]) -> None:
        assert sizes(row) == Payload(((40, 30),), "single")

    @pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
    def test_may_have_any_common_format(self, form: str) -> None:
        assert sizes({"body": an_image(form=form)}).items == ((40, 30),)

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
    def test_comes_out_as_rgb(self, mode: str) -> None:
        assert decode(image_of(an_image(form="PNG", mode=mode), LIMITS)).mode == "RGB"

    def test_is_turned_upright(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was held sideways
        file = io.BytesIO()
        Image.new("RGB", (40, 30)).save(file, "JPEG", exif=exif)
        assert decode(image_of(file.getvalue(), LIMITS)).size == (30, 40)

    def test_several_are_answered_like_several_texts(self) -> None:
        instances = [{"b64": in_base64(an_image(size, 20))} for size in (20, 30)]
        payload = sizes({"body": {"instances": instances}})
        assert payload == Payload(((20, 20), (30, 20)), "predictions")


class TestBadImage:
    def test_other_media_are_unsupported(self) -> None:
        assert refused(sizes, {"body": b"This is not a photograph!"}).status == 415
        assert refused(sizes, {"body": b"%!PS-Adobe-3.0 EPSF-3.0\n"}).status == 415

    def test_a_damaged_file_says_so(self) -> None:
        error = refused(sizes, {"body": an_image(90, 90, form="PNG", mode="RGBA")[:60]})
        assert error.status == 415

    def test_text_that_is_not_base64_is_a_bad_request(self) -> None:
        damaged = f"data:image/jpeg;base64,!{in_base64(an_image())}"
        assert refused(sizes, {"body": {"data": damaged}}).status == 400
        assert refused(sizes, {"body": {"data": "a photograph, honestly!"}}).status == 400
        assert refused(sizes, {"body": {"data": "abcde"}}).status == 400
        assert refused(sizes, {"body": {"data": 5}}).status == 400

    def test_empty_is_a_bad_request(self) -> None:
        for row in ({}, {"body": b""}, {"body": {"data": ""}}, {"body": {"data": "data:image/png;base64,"}}):
            assert refused(sizes, row).status == 400

    def test_too_many_bytes_are_refused_encoded_or_not(self) -> None:
        noise = Image.effect_noise((99, 99), 90)
        file = io.BytesIO()
        Image.merge("RGB", [noise] * 3).save(file, "BMP")
        assert refused(sizes, {"body": file.getvalue()}).status == 413
        assert refused(sizes, {"body": {"data": in_base64(file.getvalue())}}).status == 413

    def test_too_many_pixels_are_refused_before_they_are_decoded(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bomb = an_image(2000, 2000, form="PNG", mode="1")
        assert len(bomb) < LIMITS.image_bytes
        monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
        assert refused(sizes, {"body": bomb}).status == 413

    def test_pillows_own_limit_is_the_same_refusal(self) -> None:
        enormous = b"BM" + bytes(12) + (40).to_bytes(4, "little") + (60_000).to_bytes(4, "little") * 2
        enormous += (1).to_bytes(2, "little") + (24).to_bytes(2, "little") + bytes(24)
        assert refused(sizes, {"body": enormous}).status == 413

    def test_a_strip_that_scaling_would_blow_up_is_refused(self) -> None:
        assert refused(sizes, {"body": an_image(3000, 2, form="PNG")}).status == 400


class TestLimits:
    """The most that is taken, to the byte: docs/serving-and-archiving.md tells them."""

    @pytest.mark.parametrize(
        ("text", "status"),
        [("x" * 65_536, 200), ("x" * 65_537, 413), ("é" * 32_768, 200), ("é" * 32_769, 413)],
    )
    def test_of_a_text(self, text: str, status: int) -> None:
        assert status_of(text_of, text, Limits()) == status
        assert status_of(text_of, text.encode(), Limits()) == status

    @pytest.mark.parametrize("more", [0, 1])
    def test_of_a_body(self, more: int) -> None:
        size = 32 * 2**20 + more
        for part in (bytes(size), Discarded(size)):
            error = refused(read, {"body": part}, partial(text_of, limits=Limits()), Limits(), TEXT)
            assert error.reason.startswith(f"body of {size} bytes: at most 33554432") == (more == 1)

    @pytest.mark.parametrize(("inputs", "status"), [(32, 200), (33, 413)])
    def test_of_inputs(self, inputs: int, status: int) -> None:
        row: dict[str, object] = {"body": ["a"] * inputs}
        assert status_of(read, row, partial(text_of, limits=Limits()), Limits(), TEXT) == status

    @pytest.mark.parametrize(("size_bytes", "status"), [(6_000_000, 415), (6_000_001, 413)])
    def test_of_an_images_file(self, size_bytes: int, status: int) -> None:
        assert status_of(image_of, b"!" * size_bytes, Limits()) == status

    @pytest.mark.parametrize(
        ("width", "height", "status"),
        [
            (10_000, 5_000, 200),
            (14_041, 3_561, 413),  # a pixel too many
            (16_384, 200, 200),
            (16_385, 200, 413),  # a side
            (200, 16_385, 413),
            (2_000, 20, 200),
            (2_001, 20, 400),  # too narrow
            (20, 2_001, 400),
        ],
    )
    def test_of_an_images_shape(self, width: int, height: int, status: int) -> None:
        assert status_of(image_of, png_of_zeros(width, height), Limits()) == status

    def test_of_base64_are_half_as_much_again(self) -> None:
        for body, told in (
            (b"A" * 30_001, "encoded image of 30001 bytes: at most 30000 "),
            (b"A" * 30_000, "image of 22500 bytes: at most 20000 "),
        ):
            for sent in (body, body.decode()):
                assert refused(image_of, sent, LIMITS).reason.startswith(told)

    def test_are_kept_before_anything_is_decoded(self) -> None:
        """Whatever else is wrong with what is too large isn't looked for."""
        assert refused(text_of, b"\xff" * 101, LIMITS).status == 413
        assert refused(text_of, "\ud800" * 101, LIMITS).status == 413
        assert refused(texts, {"body": b"\xe9" * 101}, "text/plain; charset=us-ascii").status == 413


class TestReasons:
    """What a client reads: short, and of what it has sent itself no more than it takes to find it."""

    def test_say_what_instances_must_be(self) -> None:
        error = refused(texts, {"body": {"instances": "a"}})
        assert (error.status, error.reason) == (400, '"instances" must be a list, got a string')

    def test_tell_blank_fields_from_unknown_ones(self) -> None:
        assert refused(texts, {"data": b"", "text": b" "}).reason.startswith("the request is empty: send")
        assert refused(texts, {"x": b""}).reason.startswith("expected one form field, named data, body")

    def test_name_the_first_four_fields(self) -> None:
        four = refused(texts, dict.fromkeys("abcd", b"x")).reason
        assert "named data, body, text or inputs, and no other; got 'a', 'b', 'c', 'd'. " in four
        assert "got 'a', 'b', 'c', 'd', .... " in refused(texts, dict.fromkeys("abcde", b"x")).reason

    def test_name_the_first_four_keys(self) -> None:
        told = "a JSON object needs exactly one of data, body, text or inputs, or instances; got "
        assert refused(texts, {"body": dict.fromkeys("abcde", "x")}).reason == told + "'a', 'b', 'c', 'd'"
        assert refused(texts, {"body": {}}).reason == told + "none"

    def test_name_the_key_that_is_nothing_of_ours(self) -> None:
        assert "'text_pair' beside" in refused(texts, {"body": {"data": "a", "text_pair": "b"}}).reason
        assert "'text' beside" in refused(texts, {"body": {"instances": ["a"], **A_PAIR}}).reason

    def test_name_the_key_that_is_there_twice(self) -> None:
        body = b'{"x": 1, "data": "a", "data": "b"}'
        assert refused(texts, {"body": body}, "application/json").reason.endswith("'data' is there twice")

    def test_quote_forty_characters_and_a_hundred_of_an_error(self) -> None:
        assert quoted("x" * 40) == f"'{'x' * 40}'"
        assert quoted("x" * 41) == f"'{'x' * 40}...'"
        body = json.dumps({"\U0001f600" * 40: 1})[:-1] + ", " + json.dumps({"\U0001f600" * 40: 2})[1:]
        *_, told = refused(texts, {"body": body.encode()}, "application/json").reason.partition("not: ")
        assert told == ("the key '" + "\\U0001f600" * 40)[:100]

    def test_stand_behind_the_status_in_a_log(self) -> None:
        assert str(PayloadError(413, "too long")) == "413: too long"

    def test_say_what_stands_in_a_texts_place(self) -> None:
        found = {refused(text_of, value, LIMITS).reason for value in (None, True, 5, 0.5, [], {})}
        kinds = ("null", "a boolean", "a number", "a list", "an object")
        assert found == {f"expected a text, got {kind}" for kind in kinds}

    def test_tell_how_to_send_an_image_where_none_is(self) -> None:
        for value in ("", b"", "data:image/png;base64,", b" "):
            assert refused(image_of, value, LIMITS).reason.startswith("the request is empty: send the file")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*FIELDS, "instances", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
raw_values = st.binary() | st.binary().map(bytearray) | json_values.map(json.dumps).map(str.encode)
rows = st.dictionaries(st.sampled_from([*FIELDS, "instances", "x"]), raw_values | json_values, max_size=2)
types = st.sampled_from(["", "application/json", "text/plain", "image/png"])


@st.composite
def damaged_images(draw: st.DrawFn) -> bytes:
    """A valid image with some bytes overwritten, and cut."""
    body = bytearray(
        draw(st.sampled_from([an_image(form=form) for form in ("JPEG", "PNG", "GIF", "BMP", "WEBP")]))
    )
    for position, value in draw(st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)))):
        body[position] = value
    return bytes(body[: draw(st.integers(0, len(body)))])


def status_of(call: Any, *arguments: Any) -> int:
    try:
        call(*arguments)
    except PayloadError as error:
        return error.status
    return 200


class TestWhateverArrives:
    """The reader returns or raises PayloadError, and nothing else: a stranger can't fail a whole batch."""

    @given(row=rows, content_type=types)
    def test_as_text(self, row: dict[str, object], content_type: str) -> None:
        assert status_of(texts, row, content_type) in (200, 400, 413, 415)

    @given(row=rows, content_type=types)
    def test_as_image(self, row: dict[str, object], content_type: str) -> None:
        assert status_of(sizes, row, content_type) in (200, 400, 413, 415)

    @given(body=damaged_images())
    def test_as_damaged_image(self, body: bytes) -> None:
        assert status_of(lambda: decode(image_of(body, LIMITS))) in (200, 400, 413, 415)

    @given(text=st.text())
    def test_text_that_is_accepted_comes_through_unchanged(self, text: str) -> None:
        row: dict[str, object] = {"body": {"data": text}}
        assert status_of(texts, row) != 200 or texts(row).items == (text,)
