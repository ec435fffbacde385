"""The containers of a pod as its Deployment describes them, run here by bubblewrap: another user, a read-only
tree.

Of a container are taken: command, environment, working folder, mounts, user and whether its tree is
read-only. The image is this project's folder at the place that the image has it. All containers of a pod are
on one network, which has nothing but a loopback.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.base.paths import ROOT
from experiments.fleet.manifests.settings import IN_IMAGE

PROGRAM = "bwrap"
IMAGE_TREE = "IMAGE_TREE"
"""The variable that names an image's tree (`buildah mount`) to run in, in place of this machine's."""
LACKS = "bubblewrap is not here, or may not make namespaces: apt-get install bubblewrap"


def works() -> bool:
    """Whether bubblewrap is here and the kernel lets it make what is needed."""
    return (
        shutil.which(PROGRAM) is not None and os.system(f"{PROGRAM} {' '.join(_TRIED)} true 2>/dev/null") == 0
    )


_TRIED = ["--ro-bind", "/", "/", "--unshare-user", "--uid", "10001", "--unshare-net", "--cap-drop", "ALL"]


def network() -> list[str]:
    """What a program that starts the containers of a pod is itself started by: a loopback of their own."""
    return [PROGRAM, "--dev-bind", "/", "/", "--unshare-net", "--die-with-parent"]


def contained(
    pod: Mapping[str, Any], name: str, volumes: Mapping[str, Path], command: list[str] | None = None
) -> list[str]:
    """The command that runs container `name` of a pod's spec, or `command` in its place, as for a probe.

    `volumes` are the folders that stand for the pod's volumes; archives are in one of the name `models`.
    """
    (container,) = (each for each in pod["containers"] if each["name"] == name)
    user, group = (str(pod["securityContext"][key]) for key in ("runAsUser", "runAsGroup"))
    assert container["securityContext"]["readOnlyRootFilesystem"]
    image = os.environ.get(IMAGE_TREE)
    words = [PROGRAM, "--ro-bind", image or "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for hidden in ("/run", "/tmp"):  # what is not mounted there is not there
        words += ["--tmpfs", hidden]
    if not image:
        words += ["--tmpfs", "/opt", "--ro-bind", str(ROOT), IN_IMAGE.prefix]
    words += ["--ro-bind", str(volumes["models"]), IN_IMAGE.models]
    for mount in container["volumeMounts"]:
        how = "--ro-bind" if mount.get("readOnly") else "--bind"
        words += [how, str(volumes[mount["name"]]), mount["mountPath"]]
    for hidden in ("/run",) if image else ("/opt", "/run"):
        words += ["--remount-ro", hidden]
    words += [
        "--unshare-user",
        "--uid",
        user,
        "--gid",
        group,
        "--unshare-pid",
        "--as-pid-1",
        "--unshare-ipc",
        "--cap-drop",
        "ALL",
    ]
    words += ["--new-session", "--die-with-parent", "--clearenv", "--setenv", "PATH", os.environ["PATH"]]
    for variable in container.get("env", []):
        words += ["--setenv", variable["name"], variable["value"]]
    words += ["--chdir", container.get("workingDir", "/")]
    return [*words, "--", *(command or container["command"])]
