"""Triton: NVIDIA's server with its Python backend, from the wheel of pytriton, without pytriton itself.

An instance of a model is a process of its own. The wheel's stub, which is that process, is linked to a
libpython: it has to find the one of the Python that the environment was made with, not the system's.
"""

import shutil
import sys
import sysconfig
from pathlib import Path

from experiments.servers.environments import Environment
from experiments.servers.lives import PROGRAMS, Recipe, Wanted
from experiments.servers.served import HOST
from experiments.serving.registration import Registration

DELAY = "counted from the arrival of a request in the queue"
EXIT_TIMEOUT_S = 3  # for requests under way; it also waits that long for connections that are left open

CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: {batch_size}
input [ {{ name: "{input}" data_type: TYPE_STRING dims: [ 1 ] }} ]
output [ {outputs} ]
instance_group [ {{ count: {workers} kind: KIND_CPU }} ]
dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}
parameters [
  {{ key: "folder" value: {{ string_value: "{folder}" }} }},
  {{ key: "batch_size" value: {{ string_value: "{requests}" }} }}
]
"""
LABELS = """
  { name: "LABEL" data_type: TYPE_STRING dims: [ -1 ] },
  { name: "PROBABILITY" data_type: TYPE_FP32 dims: [ -1 ] }
"""
VECTOR = '{ name: "VECTOR" data_type: TYPE_FP32 dims: [ -1 ] }'


def recipe(environment: Environment, wanted: Wanted) -> Recipe:
    """`tritonserver` with a model repository that is written into the instance's folder."""
    repository, backends = wanted.folder / "repository", wanted.folder / "backends"
    for model in wanted.models:
        code = repository / model.name / "1"
        code.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROGRAMS / "triton_model.py", code / "model.py")
        shutil.copy(PROGRAMS / "archived.py", code)
        (code.parent / "config.pbtxt").write_text(
            config(model, wanted.store(model), wanted.takes_images(model), wanted.tells_vectors(model)),
            "utf-8",
        )
    server = environment.site / "pytriton" / "tritonserver"
    _lay_out(server, backends)
    libraries = [sysconfig.get_config_var("LIBDIR"), environment.site / "nvidia_pytriton.libs"]
    return Recipe(
        command=[
            server / "bin" / "tritonserver",
            *("--model-repository", repository, "--backend-directory", backends),
            *("--http-address", HOST, "--http-port", str(wanted.port)),
            *("--allow-grpc=false", "--allow-metrics=false"),
            *("--exit-timeout-secs", str(EXIT_TIMEOUT_S)),
            # Named after the instance, so that what a killed server leaves of it is known to be its.
            f"--backend-config=python,shm-region-prefix-name={wanted.folder.name}",
        ],
        loads=sum(model.workers for model in wanted.models),
        env={
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "PATH": f"{environment.python.parent}:/usr/bin:/bin",  # the stub takes its Python from there
        },
    )


def config(model: Registration, folder: Path, images: bool = False, vectors: bool = False) -> str:
    """A model's config.pbtxt: batches over the workers on the CPU. `folder`: its unpacked archive, `images`
    what it takes in place of texts, `vectors` what it tells in place of labels.

    Triton counts the inputs of a batch, and refuses a request that holds more than there may be.
    """
    return CONFIG.format(
        input="IMAGE" if images else "TEXT",
        outputs=VECTOR if vectors else LABELS,
        name=model.name,
        batch_size=model.batch_size * model.inputs,
        requests=model.batch_size,
        workers=model.workers,
        delay_us=1000 * model.batch_delay_ms,
        folder=str(folder).replace("\\", "\\\\").replace('"', '\\"'),
    )


def _lay_out(server: Path, backends: Path) -> None:
    """The Python backend with the stub for this Python beside it, which the wheel keeps elsewhere."""
    python = backends / "python"
    if not python.exists():
        shutil.copytree(server / "backends" / "python", python)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        shutil.copy(server / "python_backend_stubs" / version / "triton_python_backend_stub", python)
