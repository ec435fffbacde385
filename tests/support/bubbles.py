"""What manifests describe, run here by bubblewrap: as another user, on a read-only tree, without
capabilities.

Of a pod's container and of a unit are taken: command, environment, working folder, what is mounted or made
for it, and the user. All of an instance is on one network, which has nothing but a loopback.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.base.paths import ROOT
from experiments.fleet.manifests.settings import IN_IMAGE

PROGRAM = "bwrap"
IMAGE_TREE = "IMAGE_TREE"
"""The variable that names an image's tree (`buildah mount`) to run pods in, in place of this machine's."""
LACKS = "bubblewrap is not here, or may not make namespaces: apt-get install bubblewrap"
UNPRIVILEGED = ("--unshare-user", "--unshare-pid", "--as-pid-1", "--cap-drop", "ALL", "--new-session")
USER = "10001"


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of this machine, and where it is shown."""

    source: Path
    target: str
    writable: bool = False


def works() -> bool:
    """Whether bubblewrap is here and the kernel lets it make what is needed."""
    tried = [PROGRAM, "--ro-bind", "/", "/", "--unshare-net", *UNPRIVILEGED, "--uid", USER, "true"]
    return shutil.which(PROGRAM) is not None and subprocess.run(tried, capture_output=True).returncode == 0


def network() -> list[str]:
    """What a program that starts an instance is itself started by: a loopback of its own."""
    return [PROGRAM, "--dev-bind", "/", "/", "--unshare-net", "--die-with-parent"]


def bubble(
    command: Sequence[str],
    mounts: Iterable[Mount],
    environment: Mapping[str, str],
    folder: str,
    user: str = USER,
    tree: str = "/",
    hidden: Sequence[str] = ("/run", "/tmp", "/opt"),
) -> list[str]:
    """The command that runs `command`, with nothing in the `hidden` folders of `tree` but the mounts."""
    words = [PROGRAM, "--ro-bind", tree, "/", "--dev", "/dev", "--proc", "/proc"]
    for each in hidden:
        words += ["--tmpfs", each]
    for mount in mounts:
        words += ["--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target]
    for each in hidden:
        words += ["--remount-ro", each] if each != "/tmp" else []
    words += [*UNPRIVILEGED, "--die-with-parent", "--uid", user, "--gid", user]
    words += ["--clearenv", "--setenv", "PATH", os.environ["PATH"]]
    for name, value in environment.items():
        words += ["--setenv", name, value]
    return [*words, "--chdir", folder, "--", *command]


def contained(
    pod: Mapping[str, Any], name: str, volumes: Mapping[str, Path], command: Sequence[str] | None = None
) -> list[str]:
    """What runs container `name` of a pod's spec, or `command` in its place, as for a probe.

    `volumes` are the folders that stand for the pod's volumes; archives are in one of the name `models`.
    """
    (container,) = (each for each in pod["containers"] if each["name"] == name)
    assert container["securityContext"]["readOnlyRootFilesystem"]
    image = os.environ.get(IMAGE_TREE)
    mounts = [] if image else [Mount(ROOT, IN_IMAGE.prefix)]
    mounts.append(Mount(volumes["models"], IN_IMAGE.models))
    mounts += [
        Mount(volumes[each["name"]], each["mountPath"], not each.get("readOnly"))
        for each in container["volumeMounts"]
    ]
    return bubble(
        command or container["command"],
        mounts,
        {each["name"]: each["value"] for each in container.get("env", [])},
        container.get("workingDir", "/"),
        str(pod["securityContext"]["runAsUser"]),
        image or "/",
        ("/run", "/tmp") if image else ("/run", "/tmp", "/opt"),
    )


@dataclass(frozen=True, slots=True)
class Unit:
    """A service's settings, as far as they are taken: each name's values in their order."""

    settings: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, path: Path) -> "Unit":
        settings: dict[str, list[str]] = {}
        for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text("utf-8"), re.MULTILINE):
            settings.setdefault(name, []).append(value)
        return cls(settings)

    def one(self, name: str) -> str:
        (value,) = self.settings[name]
        return value

    def command(self, name: str, credentials: str) -> list[str]:
        return shlex.split(self.one(name).replace("%d", credentials))


def in_unit(unit: Unit, command: str, shared: Mapping[str, Path], etc: Path, models: Path) -> list[str]:
    """What runs `command`, a setting's name, of a unit. `shared` are the folders by their places that systemd
    makes for the instance; `etc` is what goes to /etc/torchserve-mps."""
    assert unit.one("ProtectSystem") == "strict"
    assert unit.one("CapabilityBoundingSet") == ""
    credentials = "/run/credentials"
    own = [*unit.settings.get("RuntimeDirectory", []), *unit.settings.get("CacheDirectory", [])]
    mounts = [Mount(ROOT, str(ROOT))]  # which may lie in a folder that is hidden else
    mounts += [Mount(path, place, Path(place).name in own) for place, path in shared.items()]
    mounts += [Mount(each, str(each)) for each in Path("/etc").iterdir()]
    mounts += [Mount(etc, "/etc/torchserve-mps"), Mount(models, "/var/lib/torchserve-mps/models")]
    if "LoadCredential" in unit.settings:
        name, _, place = unit.one("LoadCredential").partition(":")
        mounts.append(Mount(etc / Path(place).name, f"{credentials}/{name}"))
    pairs = [pair.split("=", 1) for line in unit.settings["Environment"] for pair in line.split()]
    return bubble(
        unit.command(command, credentials),
        mounts,
        dict(pairs),
        unit.settings.get("WorkingDirectory", ["/"])[0],
        hidden=("/run", "/tmp", "/etc", "/var/cache", "/var/lib"),
    )
