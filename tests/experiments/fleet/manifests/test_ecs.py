"""Task definitions of Amazon ECS: as its own service model has them, with a card or a share of one."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from experiments.fleet.manifests import SHARINGS
from tests.experiments.fleet.manifests.written import refuse_unlike, written

SCHEMA = "register-task-definition"


@pytest.mark.parametrize("sharing", [each for each in SHARINGS if each != "mps-dra"])
def test_amazon_takes_every_definition(sharing: Any, tmp_path: Path) -> None:
    for text in written(tmp_path, "ecs", sharing).values():
        refuse_unlike(SCHEMA, json.loads(text))
        with pytest.raises(jsonschema.ValidationError):
            refuse_unlike(SCHEMA, {**json.loads(text), "unknown": 1})


def test_a_share_is_amazons_own_and_a_card_is_a_count(tmp_path: Path) -> None:
    shared = json.loads(written(tmp_path, "ecs", "mps-device-plugin")["bert.json"])
    assert shared["containerDefinitions"][0]["resourceRequirements"] == [
        {"type": "GPU", "sharingStrategy": {"nvidiaMps": {"maxComputePercent": 50, "memory": 8192}}}
    ]
    card = json.loads(written(tmp_path, "ecs", "mps-in-pod")["bert.json"])["containerDefinitions"][0]
    assert card["resourceRequirements"] == [{"type": "GPU", "value": "1"}]
    assert "--mps" in card["command"]


def test_the_configuration_is_in_a_variable_and_tokens_are_a_secret(tmp_path: Path) -> None:
    torchserve, gateway = json.loads(written(tmp_path, "ecs")["embeddings.json"])["containerDefinitions"]
    variables = {each["name"]: each["value"] for each in torchserve["environment"]}
    assert "load_models=embeddings=embeddings" in variables["CONFIG_PROPERTIES"]
    assert "--config=config.properties" in torchserve["command"]
    assert [each["name"] for each in gateway["secrets"]] == ["GATEWAY_TOKENS"]
    for container in (torchserve, gateway):
        assert container["user"] == "10001:10001"
        assert container["readonlyRootFilesystem"]
