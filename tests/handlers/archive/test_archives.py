"""Archives: what is in them, when they are built anew, and what is said when they can't be."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml

from benchmarks.families.checkpoints import classifier
from handlers.archive import archives, fingerprints
from handlers.archive.__main__ import main
from handlers.archive.archives import ArchiveError, Provenance, build, is_current, read_provenance
from handlers.archive.sources import CheckpointError
from handlers.model.families import PLAIN
from tests.support.checkpoints import edit_json, tiny_bert, tiny_encoder, tiny_resnet


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_resnet(tmp_path_factory.mktemp("resnet"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def store(bert: Path, resnet: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("a store, with a comma")
    build("text", bert, out, trial=False)
    build("image", resnet, out, trial=False)
    build("embedding", encoder, out, trial=False)
    return out


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "handlers.archive", *map(str, arguments)]
    return subprocess.run(command, cwd=archives.HERE.parent, capture_output=True, text=True, check=False)


def edit_config(folder: Path, **changes: Any) -> Path:
    edit_json(folder / "config.json", **changes)
    return folder


class TestContent:
    @pytest.mark.thorough
    @pytest.mark.parametrize(
        ("name", "companion"),
        [
            ("bert", "tokenizer.json"),
            ("resnet50", "preprocessor_config.json"),
            ("embeddings", "tokenizer.json"),
            ("embeddings", "pooling.json"),
        ],
    )
    def test_is_all_that_a_worker_needs(self, store: Path, name: str, companion: str) -> None:
        with zipfile.ZipFile(store / f"{name}.mar") as mar:
            names = set(mar.namelist())
            manifest = json.loads(mar.read("MAR-INF/MANIFEST.json"))
        assert {f"{name}.py", "model.safetensors", "config.json", "model-config.yaml", companion} <= names
        assert {"handlers/__init__.py", "handlers/request/payload.py", "handlers/model/runtime.py"} <= names
        assert manifest["model"]["modelName"] == name
        assert manifest["model"]["handler"] == f"{name}.py"
        assert manifest["model"]["configFile"] == "model-config.yaml"

    @pytest.mark.thorough
    def test_holds_every_module_that_its_modules_import(self, store: Path) -> None:
        for archive in store.glob("*.mar"):
            with zipfile.ZipFile(archive) as mar:
                names = set(mar.namelist())
                code = b"".join(mar.read(name) for name in names if name.endswith(".py")).decode()
            imported = re.findall(r"^\s*from (handlers\.[\w.]+) import", code, re.MULTILINE)
            assert {f"{module.replace('.', '/')}.py" for module in imported} <= names

    def test_is_never_pickle(self, store: Path) -> None:
        for archive in store.glob("*.mar"):
            with zipfile.ZipFile(archive) as mar:
                for name in mar.namelist():
                    assert Path(name).suffix in {".py", ".json", ".yaml", ".safetensors"}

    def test_leaves_the_number_of_workers_to_the_registration(self) -> None:
        for name in archives.NAMES.values():
            config = yaml.safe_load((archives.HERE / "model-config" / f"{name}.yaml").read_text())
            assert config["batchSize"] == 8
            assert not {"minWorkers", "maxWorkers"} & set(config)


class TestProvenance:
    def test_tells_the_checkpoint(self, store: Path, bert: Path, resnet: Path) -> None:
        told = read_provenance(store / "bert.mar")
        assert (told.kind, told.architecture) == ("text", "BertForSequenceClassification")
        assert (told.source, told.random_weights, told.seed, told.note) == (str(bert), False, None, "")
        told = read_provenance(store / "resnet50.mar")
        assert (told.kind, told.source) == ("image", str(resnet))
        told = read_provenance(store / "embeddings.mar")
        assert (told.kind, told.architecture) == ("embedding", "BertModel")

    @pytest.mark.thorough
    def test_tells_random_weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        small = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4)
        monkeypatch.setattr("handlers.archive.checkpoints.resnet50", lambda: small)
        told = read_provenance(build("image", None, tmp_path, trial=False))
        assert (told.source, told.random_weights, told.seed) == ("random", True, archives.SEED)
        assert "predictions are not" in told.note

    @pytest.mark.thorough
    @pytest.mark.usefixtures("forked")
    @pytest.mark.parametrize("family", PLAIN)
    def test_tells_which_families_are_served_without_short_cuts(self, tmp_path: Path, family: str) -> None:
        told = read_provenance(build("text", classifier(family, tmp_path / "checkpoint"), tmp_path))
        assert told.note == f"{family} is served plain, as transformers has it, without short cuts"

    def test_of_a_foreign_archive_is_unknown(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "foreign.mar", "w") as mar:
            mar.writestr("MAR-INF/MANIFEST.json", "{}")
        assert read_provenance(tmp_path / "foreign.mar") == Provenance()
        assert Provenance().kind == "unknown"

    def test_of_no_archive_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"no such archive: .*make mar"):
            read_provenance(tmp_path / "bert.mar")
        (tmp_path / "torn.mar").write_bytes(b"PK\3\4 and no more")
        with pytest.raises(ArchiveError, match="not a readable"):
            read_provenance(tmp_path / "torn.mar")


class TestRandomWeights:
    @pytest.mark.thorough
    def test_are_the_same_for_the_same_seed(self, tmp_path: Path) -> None:
        first, again, other = (
            (tiny_bert(tmp_path / str(number), seed=seed) / "model.safetensors").read_bytes()
            for number, seed in enumerate([1, 1, 2])
        )
        assert first == again != other

    def test_leave_the_callers_generator_alone(self, tmp_path: Path) -> None:
        before = torch.get_rng_state()
        tiny_resnet(tmp_path)
        assert torch.equal(before, torch.get_rng_state())


class TestBuildingAgain:
    def test_changes_nothing_when_nothing_has_changed(self, store: Path, bert: Path) -> None:
        before = (store / "bert.mar").stat()
        assert is_current("text", bert, store / "bert.mar")
        build("text", bert, store, trial=False)
        after = (store / "bert.mar").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)

    @pytest.mark.thorough
    def test_is_due_when_the_checkpoint_has_changed(self, tmp_path: Path, resnet: Path) -> None:
        archive = build(
            "image", tiny_resnet(tmp_path / "resnet"), tmp_path / "store", name="mine", trial=False
        )
        assert archive == tmp_path / "store/mine.mar"
        assert is_current("image", tmp_path / "resnet", archive)
        os.utime(tmp_path / "resnet/model.safetensors", (1, 1))
        assert not is_current("image", tmp_path / "resnet", archive)
        assert not is_current("image", resnet, archive)
        assert not is_current("image", None, archive)

    def test_is_due_when_the_handler_has_changed(
        self, store: Path, bert: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        packers = [f"archive/{module}.py" for module in fingerprints.PACKERS]
        for file in ("bert.py", "model-config/bert.yaml", *packers, *fingerprints.shared_files()):
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_bytes((archives.HERE / file).read_bytes())
        monkeypatch.setattr(fingerprints, "HERE", tmp_path)
        assert is_current("text", bert, store / "bert.mar")
        with (tmp_path / "model-config/bert.yaml").open("a") as config:
            config.write("# and a remark\n")
        assert not is_current("text", bert, store / "bert.mar")

    def test_leaves_nothing_but_the_archives(self, store: Path) -> None:
        assert sorted(path.name for path in store.iterdir()) == [
            "bert.mar",
            "embeddings.mar",
            "resnet50.mar",
        ]

    @pytest.mark.thorough
    def test_that_fails_leaves_the_old_archive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tiny_resnet(tmp_path / "resnet")
        archive = build("image", folder, tmp_path / "store", trial=False)
        before = archive.read_bytes()
        (folder / "model.safetensors").write_bytes(b"torn")
        with pytest.raises(CheckpointError, match="can't be loaded"):
            build("image", folder, tmp_path / "store")
        assert archive.read_bytes() == before
        assert [path.name for path in archive.parent.iterdir()] == [archive.name]


class TestUnsuitableCheckpoints:
    def test_that_are_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="no such folder"):
            build("text", tmp_path / "nowhere", tmp_path)

    def test_that_the_hub_does_not_give(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(CheckpointError, match="can't be fetched from the model hub"):
            build("text", "nobody/nothing", tmp_path)

    def test_that_are_files(self, tmp_path: Path, bert: Path) -> None:
        with pytest.raises(CheckpointError, match="is a file: give the folder"):
            build("text", bert / "config.json", tmp_path)

    def test_that_are_of_the_other_kind(self, tmp_path: Path, bert: Path, resnet: Path) -> None:
        with pytest.raises(CheckpointError, match=r"of type resnet .* the text handler serves"):
            build("text", resnet, tmp_path)
        with pytest.raises(CheckpointError, match=r"of type bert .* the image handler serves"):
            build("image", bert, tmp_path)

    def test_that_were_trained_for_another_task(self, tmp_path: Path) -> None:
        folder = edit_config(tiny_bert(tmp_path / "lm"), architectures=["BertForMaskedLM"])
        with pytest.raises(CheckpointError, match="BertForMaskedLM"):
            build("text", folder, tmp_path)

    def test_that_hold_no_safetensors(self, tmp_path: Path) -> None:
        folder = tiny_bert(tmp_path / "pickled")
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match=r"no \*.safetensors: convert it"):
            build("text", folder, tmp_path)

    def test_that_hold_no_readable_config(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"holds no config.json"):
            build("text", tmp_path, tmp_path)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(CheckpointError, match="not valid JSON"):
            build("text", tmp_path, tmp_path)

    @pytest.mark.thorough
    def test_whose_classifier_was_never_trained(self, tmp_path: Path) -> None:
        folder = edit_config(tiny_bert(tmp_path / "shallow"), num_hidden_layers=3)
        with pytest.raises(CheckpointError, match=r"lacks weights, bert.encoder.layer.2"):
            build("text", folder, tmp_path)

    def test_of_a_problem_that_transformers_does_not_know(self, tmp_path: Path) -> None:
        folder = edit_config(tiny_bert(tmp_path / "ranks"), problem_type="ranking")
        with pytest.raises(CheckpointError, match="the problem type ranking: choose"):
            build("text", folder, tmp_path)

    @pytest.mark.parametrize("kind", ["text", "embedding"])
    def test_that_read_in_one_direction_only(self, tmp_path: Path, kind: archives.Kind) -> None:
        make = tiny_bert if kind == "text" else tiny_encoder
        folder = edit_config(make(tmp_path / "decoder"), is_decoder=True)
        with pytest.raises(CheckpointError, match="is a decoder"):
            build(kind, folder, tmp_path)

    def test_whose_tokenizer_cannot_pad(self, tmp_path: Path) -> None:
        folder = classifier("modernbert", tmp_path / "ragged")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        tokenizer.pad_token = None
        tokenizer.save_pretrained(folder)
        with pytest.raises(CheckpointError, match="its tokenizer has no padding token"):
            build("text", folder, tmp_path)

    @pytest.mark.parametrize("family", ["deberta", "xlnet", "gpt2", "mobilebert"])
    def test_of_families_that_nobody_has_tried(self, tmp_path: Path, family: str) -> None:
        folder = edit_config(tiny_bert(tmp_path / family), model_type=family)
        with pytest.raises(CheckpointError, match=f"is of type {family} .* the text handler serves"):
            build("text", folder, tmp_path)

    @pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq", "no such method"])
    def test_that_are_quantised(self, tmp_path: Path, method: str) -> None:
        folder = edit_config(tiny_bert(tmp_path / "small"), quantization_config={"quant_method": method})
        with pytest.raises(
            CheckpointError, match=f"is quantised .{method}.*save the model in full precision"
        ):
            build("text", folder, tmp_path)

    def test_whose_images_are_prepared_in_a_way_that_is_not_served(self, tmp_path: Path) -> None:
        folder = tiny_resnet(tmp_path / "segments")
        recipe = folder / "preprocessor_config.json"
        recipe.write_text(json.dumps({"image_processor_type": "SegformerImageProcessor"}))
        with pytest.raises(CheckpointError, match=r"preprocessor_config.json: .* SegformerImageProcessor"):
            build("image", folder, tmp_path)
        recipe.write_text("{")
        with pytest.raises(CheckpointError, match=r"preprocessor_config.json is not valid JSON"):
            build("image", folder, tmp_path)

    def test_without_a_tokenizer(self, tmp_path: Path) -> None:
        folder = tiny_bert(tmp_path / "mute")
        for file in folder.glob("tokenizer*"):
            file.unlink()
        with pytest.raises(CheckpointError, match="no tokenizer"):
            build("text", folder, tmp_path)


@pytest.mark.usefixtures("forked")
class TestRecipesOfImages:
    @pytest.mark.thorough
    def test_are_kept_word_for_word_whichever_file_holds_them(self, tmp_path: Path) -> None:
        folder = tiny_resnet(tmp_path / "newest")
        recipe = {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224}
        (folder / "processor_config.json").write_text(json.dumps({"image_processor": recipe}))
        with zipfile.ZipFile(build("image", folder, tmp_path)) as mar:
            assert json.loads(mar.read("preprocessor_config.json")) == recipe


@pytest.mark.usefixtures("forked")
class TestProgram:
    @pytest.mark.thorough
    def test_says_what_is_up_to_date(self, store: Path, bert: Path, resnet: Path, encoder: Path) -> None:
        done = run("--bert", bert, "--resnet50", resnet, "--embeddings", encoder, "--out", store)
        assert done.stdout.splitlines() == [
            f"{store / 'bert.mar'} is up to date",
            f"{store / 'resnet50.mar'} is up to date",
            f"{store / 'embeddings.mar'} is up to date",
        ]

    @pytest.mark.thorough
    def test_keeps_the_checkpoint_an_archive_was_built_from(self, store: Path) -> None:
        done = run("--out", store)
        assert done.stdout.splitlines() == [
            f"{store / 'bert.mar'} is up to date",
            f"{store / 'resnet50.mar'} is up to date",
            f"{store / 'embeddings.mar'} is up to date",
        ]

    @pytest.mark.thorough
    def test_keeps_the_archive_where_its_checkpoint_is_gone(self, store: Path, tmp_path: Path) -> None:
        shutil.copytree(store, tmp_path / "store")
        folder = tiny_bert(tmp_path / "bert")
        main(bert=str(folder), out=tmp_path / "store")
        shutil.rmtree(folder)
        done = run("--out", tmp_path / "store")
        assert f"bert.mar is kept as it is: its checkpoint {folder} is not there any more" in done.stdout
        assert read_provenance(tmp_path / "store" / "bert.mar").source == str(folder)

    @pytest.mark.thorough
    def test_ends_with_one_line_on_a_bad_checkpoint(self, store: Path, resnet: Path) -> None:
        done = run("--bert", resnet, "--out", store)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
