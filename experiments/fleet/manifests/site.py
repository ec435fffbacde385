"""Where a fleet runs, as far as its files say so: what no service knows of itself."""

from dataclasses import dataclass
from typing import Literal, get_args

from experiments.base.errors import UsageError
from experiments.fleet.manifests.names import refuse_name
from experiments.fleet.service import Service, Sharing

Target = Literal["kubernetes", "ecs", "compose", "systemd"]
Autoscaler = Literal["keda", "hpa"]
TARGETS: tuple[Target, ...] = get_args(Target)
SHARINGS: tuple[Sharing, ...] = ("mps-in-pod", "mps-device-plugin", "mps-dra", "whole")
SCALE_AT = 0.8
"""The part of an instance's capacity at which another one is started, where neither the service nor the user
says it. A choice, not a measurement: below 1, to leave room for what comes on top while Prometheus looks (a
minute's mean) and the new one loads."""


@dataclass(frozen=True, slots=True)
class Site:
    """`image` is the image without its kind, which is added to its tag: `IMAGE-cpu` or `IMAGE-cuda`.

    `prometheus` is the URL that KEDA asks; `autoscaler` changes the number of Kubernetes' pods: `hpa` is its
    own, which asks prometheus-adapter; `models_claim` is the PersistentVolumeClaim that holds the archives,
    None where they are in the image; `secret_arn` and `execution_role_arn` are Amazon's names for the secret
    with the tokens and the role that may read it; `prefix` the folder that holds this project on a host with
    systemd.

    Raises UsageError for a value that is none.
    """

    image: str = "registry.example/torchserve-mps:0.1.0"
    namespace: str = "inference"
    prometheus: str = "http://prometheus-operated.monitoring:9090"
    monitoring_namespace: str = "monitoring"
    models_claim: str | None = None
    secret_arn: str = "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"  # noqa: S105 - a name to fill in
    execution_role_arn: str = "arn:aws:iam::ACCOUNT:role/NAME"
    prefix: str = "/opt/torchserve-mps"
    scale_at: float | None = None
    autoscaler: Autoscaler = "keda"

    def __post_init__(self) -> None:
        refuse_name("image", self.image)
        refuse_name("namespace", self.namespace)
        refuse_name("namespace", self.monitoring_namespace)
        refuse_name("url", self.prometheus)
        refuse_name("arn", self.secret_arn)
        refuse_name("arn", self.execution_role_arn)
        refuse_name("path", self.prefix)
        if self.models_claim is not None:
            refuse_name("claim", self.models_claim)
        refuse_part(self.scale_at)

    def scale_at_of(self, service: Service) -> float:
        """The part of the service's capacity at which an instance is added."""
        return self.scale_at or service.scale_at or SCALE_AT

    def image_for(self, on_gpu: bool) -> str:
        """The image of a service with or without a part of a GPU."""
        return f"{self.image}-{'cuda' if on_gpu else 'cpu'}"


def refuse_part(scale_at: float | None) -> None:
    """Raises UsageError where it is none of a capacity."""
    if scale_at is not None and not 0 < scale_at < 1:
        raise UsageError(f"scale_at is a part of the capacity between 0 and 1, not {scale_at:g}")
