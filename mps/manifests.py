"""`python -m mps.manifests`: files that run services on Kubernetes, Amazon ECS, docker compose or systemd.

A door: it reads the options and the list of services, and writes.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.base.errors import UsageError
from experiments.fleet.manifests import Autoscaler, Site, Target, read_services, write
from experiments.fleet.service import Sharing
from mps.door import one_line_errors, option, to_stdout

HELP = """Writes the files that run a fleet's services, from a list of them in YAML.

Each instance is a TorchServe that listens on loopback, and a gateway before it that asks clients for a token.
Nothing is applied, started or sent anywhere; files with tokens are kept where they are there already.

Examples:

  python -m mps.manifests services.yaml --write deploy --target kubernetes --sharing mps-in-pod

  python -m mps.manifests services.yaml --write deploy --target systemd

Exit codes: 1 the folder can't be written; 2 wrong usage, a list with mistakes, a way to share a card that the
target does not know.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def main(
    services: Annotated[Path, typer.Argument(help="The list: a mapping with the key `services`.")],
    folder: Annotated[Path, option("--write", help="The folder to write into.")],
    target: Annotated[Target, option("--target", help="What shall run them.")],
    sharing: Annotated[
        Sharing | None,
        option(
            "--sharing", help="How those on GPUs have their part of a card, in place of what the list says."
        ),
    ] = None,
    image: Annotated[
        str | None, option("--image", help="The image without its kind, which -cpu or -cuda is added to.")
    ] = None,
    namespace: Annotated[str | None, option("--namespace", help="Kubernetes' namespace.")] = None,
    prometheus: Annotated[str | None, option("--prometheus", help="The URL that KEDA asks.")] = None,
    autoscaler: Annotated[
        Autoscaler | None,
        option("--autoscaler", help="Of Kubernetes' pods: its own (hpa) asks prometheus-adapter. [keda]"),
    ] = None,
    models_claim: Annotated[
        str | None,
        option(
            "--models-claim", help="The PersistentVolumeClaim with the archives; without, the image has them."
        ),
    ] = None,
    secret_arn: Annotated[str | None, option("--secret-arn", help="Amazon's secret with the tokens.")] = None,
    execution_role_arn: Annotated[
        str | None, option("--execution-role-arn", help="Amazon's role that may read it.")
    ] = None,
    prefix: Annotated[
        str | None, option("--prefix", help="This project's folder on a host with systemd.")
    ] = None,
    scale_at: Annotated[
        float | None, option("--scale-at", help="Part of the capacity at which an instance is added.")
    ] = None,
) -> None:
    """See HELP."""
    console = to_stdout()
    with one_line_errors():
        given: dict[str, Any] = {
            "image": image,
            "namespace": namespace,
            "prometheus": prometheus,
            "autoscaler": autoscaler,
            "models_claim": models_claim,
            "secret_arn": secret_arn,
            "execution_role_arn": execution_role_arn,
            "prefix": prefix,
            "scale_at": scale_at,
        }
        site = Site(**{key: value for key, value in given.items() if value is not None})
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--write {folder} is a file: give a folder")
        for path in write(read_services(services), folder, target, sharing, site):
            console.print(f"written: {path}", markup=False)


if __name__ == "__main__":
    app()
