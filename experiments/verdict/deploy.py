"""An advice -> the files to deploy it: model-config.yaml, config.properties, start.sh."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from experiments.base.errors import ExperimentError
from experiments.base.shown import command
from experiments.plan import Cell
from experiments.plan.servers import TORCHSERVE
from experiments.serving.configured import shipped_with
from experiments.serving.workers import limits_env, memory_env, worker_env
from experiments.verdict.advice import Advice, Rated
from mps.control import CONTROL, PARTITION_VARIABLE

HANDLERS = re.compile(r"HANDLER_[A-Z0-9_]+", re.ASCII)  # the variables that handlers/model/settings.py heeds
MODEL_CONFIG, PROPERTIES, START = "model-config.yaml", "config.properties", "start.sh"


def write_files(advice: Advice, folder: Path, variables: Mapping[str, str] | None = None) -> list[Path]:
    """Writes model-config.yaml, config.properties and start.sh for the best configuration into `folder`;
    start.sh alone where it is behind another server than TorchServe, for which the others say nothing.

    `variables` are those of the environment that it was measured in: start.sh sets the handlers' again.
    Raises ExperimentError where the files can't be written.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = files_of(advice, variables or {})
        for name in {MODEL_CONFIG, PROPERTIES} - set(files):
            (folder / name).unlink(missing_ok=True)  # of an earlier advice
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
            paths.append(folder / name)
        (folder / START).chmod(0o755)
    except OSError as error:
        raise ExperimentError(f"can't write the advice to {folder}: {error.strerror}; make room") from error
    return paths


def files_of(advice: Advice, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Each file's text by its name. See `write_files`."""
    best = advice.best
    if best.cell.server != TORCHSERVE:
        return {START: _start_other(best, variables or {})}
    return {
        MODEL_CONFIG: _model_config(best.cell),
        PROPERTIES: _properties(best),
        START: _start_script(best, variables or {}),
    }


def _model_config(cell: Cell) -> str:
    """No minWorkers or maxWorkers: in an archive they would override what a registration asks for."""
    lines = [
        f"# Advised for {cell}.",
        "# Lines for the archive's model-config.yaml, in place of those that are there; then build it again",
        "# (bert and resnet50: the file in handlers/model-config/, and `make mar`). TorchServe 0.12.0",
        "# takes the batch size from nowhere else when it loads an archive that has this file.",
        f"batchSize: {cell.batch_size}",
        f"maxBatchDelay: {cell.batch_delay_ms}",
    ]
    handler = {"engine": cell.engine, "precision": cell.precision}
    if any(handler.values()):
        lines += ["handler:", *(f"  {key}: {value}" for key, value in handler.items() if value)]
    return "\n".join(lines) + "\n"


def _properties(best: Rated) -> str:
    """This project's config.properties with what the advice changes in it."""
    changed = {
        "load_models": f"{best.cell.model}.mar",
        "default_workers_per_model": str(best.cell.workers),
    }
    if best.on_gpu:  # else a worker is dealt the next of all GPUs that TorchServe counts
        changed["number_of_gpu"] = "1"
    return shipped_with(changed, f"Advised for {best.cell}; start it with start.sh.")


def _start_other(best: Rated, variables: Mapping[str, str]) -> str:
    """One line that starts the server, with what its workers have from their environment."""
    cell = best.cell
    env = {key: value for key, value in variables.items() if HANDLERS.fullmatch(key)}
    env |= worker_env(best.torch_threads, cell.precision, cell.engine)
    settings = {
        "workers": cell.workers,
        "batch-size": cell.batch_size,
        "batch-delay": cell.batch_delay_ms,
        "threads": best.torch_threads,
        **({"client-batch": cell.client_batch} if cell.client_batch > 1 else {}),
    }
    asked = [word for name, value in settings.items() for word in (f"--{name}", f"{value}")]
    archive = f"model_store/{cell.model}.mar"
    started = command("python", "-m", "mps.servers", "start", cell.server, archive, *asked)
    lines = [
        "#!/bin/sh",
        f"# Serves {cell}, as advised, on 127.0.0.1 alone. Run it in the folder of this",
        "# project, with its Python first on PATH (. .venv/bin/activate).",
        *(f"export {name}={shlex.quote(value)}" for name, value in env.items()),
        f"exec {started}",
    ]
    return "\n".join([*lines, ""])


def _start_script(best: Rated, variables: Mapping[str, str]) -> str:
    cell = best.cell
    env = {key: value for key, value in variables.items() if HANDLERS.fullmatch(key)}
    env |= {"OMP_NUM_THREADS": str(best.torch_threads)}
    if best.on_gpu:
        env |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"}
    limits = limits_env(cell)
    served = 'torchserve --start {}--ncs --ts-config "$(dirname "$0")/config.properties"'
    lines = [
        "#!/bin/sh",
        f"# Serves {cell}, as advised. Run it in the folder that holds model_store/ and log4j2.xml,",
        "# with this project's torchserve first on PATH (. .venv/bin/activate).",
    ]
    if cell.sm_chunks:  # before the limits are exported, which the daemon would take for every client's
        ask = f"echo get_server_list | {CONTROL} >/dev/null 2>&1"
        lines += ["set -e", f"{ask} || {CONTROL} -d -S  # the daemon, unless it runs"]
        lines += _with_partition(cell.sm_chunks)
    options = "--mps " if cell.mps and not cell.sm_chunks else ""  # a daemon of its own, that ends with it
    if options and cell.thread_percentage is not None:
        options += f"--thread-percentage {cell.thread_percentage} "
        limits = memory_env(cell.memory_limit_mib)
    lines += [f"export {name}={shlex.quote(value)}" for name, value in (env | limits).items()]
    return "\n".join([*lines, f"exec {served.format(options)}", ""])


def _with_partition(chunks: int) -> list[str]:
    """Lines that make the static partition in which all workers are. The control program's two ways to name
    it are those of mps/control/partitions.py."""
    return [
        f'echo "start_server -uid $(id -u)" | {CONTROL}',
        "uuid=$(nvidia-smi -i 0 --query-gpu=uuid --format=csv,noheader)",
        f'part=$(echo "sm_partition add $uuid {chunks}" | {CONTROL} |',
        "  sed -n 's/^Partition //; s/ created.*//; s#^GPU-[^/]*/##; /^[^ ]*$/p')",
        '[ -n "$part" ] || { echo "no static partition: does the daemon run with -S?" >&2; exit 1; }',
        f'export {PARTITION_VARIABLE}="$uuid/$part"',
    ]
