"""The YAML of a plan -> the plan, and back. What makes sense is known in plan.py."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from experiments.base.errors import UsageError
from experiments.base.yaml_files import read_yaml
from experiments.plan import parse_slo
from experiments.together.plan import Served, Together

WHOLE = {"workers", "batch_size", "batch_delay_ms", "tokens", "runs", "threads", "seed"}
NUMBERS = {"rate_rps", "share", "duration_s", "warm_up_s", "settling_s"}
TEXTS = {"name", "archive", "slo", "input"}


def read(path: Path) -> Together:
    """The plan in a file. Raises UsageError where it can't be read or understood."""
    return understood(read_yaml(path, "a plan"), str(path))


def understood(content: object, where: str) -> Together:
    """The plan that a YAML file's `content` asks for: the fields of Together, and of Served in `models`.

    A model has a `rate_rps` of its own, or a `share` of the plan's `rate_rps`: shares are relative to their
    sum. Raises UsageError, which begins with `where`.
    """
    if not isinstance(content, Mapping):
        raise UsageError(f"{where}: a plan has `servers:` and `models:`, see docs/several-models.md")
    settings = dict(content)
    listed = settings.pop("models", None)
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise UsageError(f"{where}: `models:` is a list of models, each with name, archive, slo and rate_rps")
    total_rps = settings.pop("rate_rps", None)
    _check_types({"rate_rps": total_rps} if total_rps is not None else {}, where)
    names = settings.pop("servers", ["torchserve"])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{where}: `servers:` is a list of names, such as [torchserve, litserve]")
    _check_keys(settings, {each.name for each in fields(Together)}, where)
    _check_types(settings, where)
    rates_rps = _rates(listed, total_rps, where)
    models = [_model(each, rate, where) for each, rate in zip(listed, rates_rps, strict=True)]
    try:
        return Together(tuple(names), tuple(models), **settings)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def replaced(
    plan: Together, servers: list[str] | None, runs: int | None, duration_s: float | None
) -> Together:
    """The plan with these in place of its own, where they are given. Raises UsageError."""
    given = {"servers": tuple(servers) if servers else None, "runs": runs, "duration_s": duration_s}
    return replace(plan, **{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]


def as_settings(plan: Together) -> dict[str, Any]:
    """A plan as a file would have it: `understood` makes the same of it."""
    told: dict[str, Any] = asdict(plan)
    models = [asdict(model) | {"slo": str(model.slo)} for model in plan.models]
    kept = [{key: value for key, value in model.items() if value is not None} for model in models]
    return told | {"servers": list(plan.servers), "models": kept}


def _rates(listed: list[Mapping[str, Any]], total_rps: float | None, where: str) -> list[float]:
    """Of each model in requests/s."""
    for number, each in enumerate(listed, 1):
        _check_types(
            {key: each[key] for key in ("share", "rate_rps") if key in each}, f"{where}, model {number}"
        )
        if ("share" in each) == ("rate_rps" in each):
            raise UsageError(f"{where}, model {number}: give its `rate_rps`, or its `share` of the plan's")
        if "share" in each and total_rps is None:
            raise UsageError(f"{where}: a `share` needs `rate_rps` of the whole plan")
    if total_rps is not None and not all("share" in each for each in listed):
        raise UsageError(f"{where}: with `rate_rps` of the whole plan every model has a `share` of it")
    shares = sum(each.get("share", 0) for each in listed)
    if any(each.get("share", 1) <= 0 for each in listed):
        raise UsageError(f"{where}: a `share` is above 0")
    return [
        float(each["rate_rps"] if total_rps is None else total_rps * each["share"] / shares)
        for each in listed
    ]


def _model(settings: Mapping[str, Any], rate_rps: float, where: str) -> Served:
    given = {key: value for key, value in settings.items() if key not in ("rate_rps", "share")}
    _check_keys(given, {each.name for each in fields(Served)} - {"rate_rps"}, where)
    _check_types(given, where)
    if missing := sorted({"name", "archive", "slo"} - set(given)):
        raise UsageError(f"{where}: a model lacks `{missing[0]}`")
    try:
        return Served(**given | {"slo": parse_slo(given["slo"]), "rate_rps": rate_rps})
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _check_keys(settings: Mapping[Any, Any], known: set[str], where: str) -> None:
    if unknown := sorted(str(key) for key in settings if key not in known):
        raise UsageError(f"{where}: `{unknown[0]}` is not known: use {', '.join(sorted(known))}")


def _check_types(settings: Mapping[str, Any], where: str) -> None:
    for key, value in settings.items():
        kinds: tuple[type, ...] = (str,) if key in TEXTS else (int,) if key in WHOLE else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            wanted = "a text" if key in TEXTS else "a whole number" if key in WHOLE else "a number"
            raise UsageError(f"{where}: `{key}` is {wanted}, not {value!r}")
