"""Asks whether a package of requirements.lock has a known vulnerability: pip-audit, in a throw-away venv.

    python scripts/audit.py [FILE]      # or: make audit

A line for each one found. Exit codes: 0 none is known or, loudly, nobody could be asked (no network); 1 some
are.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = "pip-audit>=2.7,<3"


def main() -> None:
    lock = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "requirements.lock"
    packages = [line for line in lock.read_text("utf-8").splitlines() if "==" in line]
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv" / "bin" / "python")
        installed = _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", TOOL)
        if installed.returncode:
            _skip(f"{TOOL} can't be installed", installed.stderr)
        found = folder / "found.json"
        # What is locked is all there is: pip need not look for dependencies, nor install anything.
        options = ("--requirement", str(lock), "--no-deps", "--disable-pip", "--progress-spinner", "off")
        audited = _run(python, "-m", "pip_audit", *options, "--format", "json", "--output", str(found))
        if not found.is_file():
            _skip("pip-audit gave no answer", audited.stderr)
        _tell(json.loads(found.read_text("utf-8"))["dependencies"], lock, len(packages))


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True)


def _skip(what: str, printed: str) -> None:
    last = (printed.strip().splitlines() or ["it printed nothing"])[-1]
    print(f"audit: SKIPPED, the lock is NOT checked: {what}: {last}", file=sys.stderr)
    sys.exit(0)


def _tell(dependencies: list[dict[str, object]], lock: Path, packages: int) -> None:
    lines = []
    for each in dependencies:
        for known in each.get("vulns", []):
            fixed = ", ".join(known["fix_versions"]) or "no version yet"
            lines.append(f"{each['name']} {each['version']}: {known['id']}, fixed in {fixed}")
    print(
        "\n".join([*lines, f"audit: {packages} packages of {lock.name}, {len(lines)} known vulnerabilities"])
    )
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
