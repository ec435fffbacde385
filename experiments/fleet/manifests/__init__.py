"""Files that run a fleet's services elsewhere: on Kubernetes, Amazon ECS, docker compose, systemd.

Objects are templates in templates/<target>/, one file an object; here is what they are filled with. programs/
is what runs in an instance. Nothing is started or sent anywhere from here.
"""

from experiments.fleet.manifests.listed import read_services, write_services
from experiments.fleet.manifests.site import SHARINGS, TARGETS, Autoscaler, Site, Target
from experiments.fleet.manifests.written import write

__all__ = ["SHARINGS", "TARGETS", "Autoscaler", "Site", "Target", "read_services", "write", "write_services"]
