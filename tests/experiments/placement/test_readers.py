"""Latencies from our own profiles and from the files of others; what is wrong is told in a line."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import ExperimentError, UsageError
from experiments.base.paths import ROOT
from experiments.placement.readers import engines_asked, read_latencies
from experiments.profile import Point, write_points
from experiments.profile.points import UNTOLD

PUBLISHED = ROOT / "benchmarks" / "data" / "gpulet"
POINT = Point("card", "bert", "fp16", 50, 66, None, 4, 100, 5.1, 5, 6, 7, 4.9, 5.2, 10**9)


def written(folder: Path, text: str) -> Path:
    path = folder / "profile.csv"
    path.write_text(text, "utf-8")
    return path


class TestOurOwn:
    def test_give_the_percentile_that_is_asked_for(self, tmp_path: Path) -> None:
        write_points(path := tmp_path / "profile.csv", [POINT])
        assert read_latencies(path).curve("bert", 50)[4] == 5
        assert read_latencies(path, percentile="p95").curve("bert", 50)[4] == 6

    @pytest.mark.parametrize(
        ("other", "told"),
        [
            (replace(POINT, device="another"), "is of several devices, another and card"),
            (replace(POINT, share_percent=51), "50 and 51 % of card are the same 66 multiprocessors"),
        ],
    )
    def test_that_mix_what_does_not_mix_are_refused(self, tmp_path: Path, other: Point, told: str) -> None:
        write_points(path := tmp_path / "profile.csv", [POINT, other])
        with pytest.raises(UsageError, match=told):
            read_latencies(path)


class TestEngines:
    """A placement takes one engine's latencies for each model."""

    ON_TWO = (
        replace(POINT, engine="torch"),
        replace(POINT, engine="onnxruntime", latency_ms_p50=4),
        replace(POINT, model="resnet50", engine="torch", latency_ms_p50=9),
    )

    @pytest.mark.parametrize(
        ("asked", "bert_ms", "engines"),
        [
            ("torch", 5, {"bert": "torch", "resnet50": "torch"}),
            ("torch,bert=onnxruntime", 4, {"bert": "onnxruntime", "resnet50": "torch"}),
            ("bert=onnxruntime", 4, {"bert": "onnxruntime", "resnet50": "torch"}),
        ],
    )
    def test_are_chosen(self, tmp_path: Path, asked: str, bert_ms: float, engines: dict[str, str]) -> None:
        write_points(path := tmp_path / "profile.csv", self.ON_TWO)
        table = read_latencies(path, engines=engines_asked(asked))
        assert table.curve("bert", 50)[4] == bert_ms
        assert {model: told["engine"] for model, told in table.served.items()} == engines
        assert table.only([50]).served == table.served

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            (None, "has bert on torch and onnxruntime: give one of them, as in --engine torch"),
            ("resnet50=torch", "has bert on torch and onnxruntime"),
            ("onnxruntime", "has resnet50 on torch, not on onnxruntime: give another"),
            ("torch,vgg16=torch", "--engine vgg16=: .* has no such model, only bert, resnet50"),
            ("bert=abacus", "--engine must be one of torch, .*, or MODEL= and one, not 'bert=abacus'"),
        ],
    )
    def test_that_are_not_there_or_too_many_are_told(
        self, tmp_path: Path, asked: str | None, told: str
    ) -> None:
        write_points(path := tmp_path / "profile.csv", self.ON_TWO)
        with pytest.raises(UsageError, match=told):
            read_latencies(path, engines=engines_asked(asked))

    def test_of_yesterday_are_not_known(self, tmp_path: Path) -> None:
        write_points(path := tmp_path / "profile.csv", [POINT])
        assert "engine" not in read_latencies(path).served["bert"]

    def test_come_with_the_precision_that_was_asked_for(self, tmp_path: Path) -> None:
        write_points(path := tmp_path / "profile.csv", [POINT, replace(POINT, model="b", precision=UNTOLD)])
        assert read_latencies(path).served == {"bert": {"precision": "fp16"}, "b": {}}


class TestThoseOfOthers:
    def test_tell_no_engine(self) -> None:
        with pytest.raises(UsageError, match="doesn't tell the engine of its latencies: leave --engine out"):
            read_latencies(PUBLISHED / "rtx2080ti_latency_fig3.csv", engines=engines_asked("torch"))

    def test_with_a_heading(self) -> None:
        table = read_latencies(PUBLISHED / "rtx2080ti_latency_fig3.csv")
        assert table.models() == ["googlenet", "resnet50", "ssd-mobilenetv1", "vgg16"]
        assert table.curve("googlenet", 20)[1] == 9.791

    def test_of_the_prototype_without_one(self, tmp_path: Path) -> None:
        table = read_latencies(written(tmp_path, "lenet1,20,1,0.5\nlenet1,20,32,2\nvgg16,100,1,9\n"))
        assert table.models() == ["lenet1", "lenet2", "lenet3", "lenet4", "lenet5", "lenet6", "vgg16"]
        assert table.curve("lenet3", 20)[32] == 2

    def test_of_mig_instances(self) -> None:
        curve = read_latencies(PUBLISHED / "a100_mig_parvagpu_profile.csv").curve("bert", 1, processes=2)
        assert curve[2] == pytest.approx(2000 / 60.024)

    def test_rows_that_their_authors_dropped_are_told(self) -> None:
        told: list[str] = []
        table = read_latencies(PUBLISHED / "a100_mps_latency.csv", told.append)
        assert "BERT" not in table.models()
        assert len(told) == 1
        assert "marked as dropped" in told[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no profile"),
        ("model,batch,latency_ms\na,1,2\n", "it has no column percent"),
        ("model,percent,latency_ms\na,50,2\n", "it has no column batch"),
        ("model,percent,batch,latency_ms\na,50,1,fast\n", "is no profile: Unable to parse"),
        ("model,percent,batch,latency_ms\na,50,1,\n", "values are missing"),
        ("model,percent,batch,latency_ms\na,50.5,1,2\n", "percent is not a whole number"),
        ("model,percent,batch,latency_ms\na,50,1,0\n", "was never measured"),
        ("model,percent,batch,latency_ms\na,50,1,2\na,50,1,3\n", "two latencies, 2 and 3 ms"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_latencies(written(tmp_path, text))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        read_latencies(tmp_path / "nowhere.csv")


@given(st.text(alphabet="model,batchpercent_latency0123456789.-\n# ", max_size=200))
def test_no_file_ends_in_anything_but_a_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = written(tmp_path_factory.mktemp("any"), text)
    told = ""
    try:
        read_latencies(path)
    except ExperimentError as error:
        told = str(error)
    assert "\n" not in told
