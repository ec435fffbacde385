"""A plan carried out: its servers started side by side, their answers checked, looks taken in turns."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from experiments.load.goodput.others import MOST_TAKES
from experiments.servers.known import servers
from experiments.servers.served import Running
from experiments.together.asked import Asked, asked, checked
from experiments.together.folder import Folder
from experiments.together.look import Look, look
from experiments.together.plan import Together
from experiments.together.search import LOOKS, Search
from experiments.together.side_by_side import at_work, side_by_side

RUN, SEARCH = "run", "search"
Tell = Callable[[str], None]


def carry_out(
    plan: Together, folder: Folder, tell: Tell, *, goodput: bool = False, looks: int = LOOKS
) -> list[Look]:
    """All looks of the plan, those of before among them: `runs` of each server, and with `goodput` those of
    the search for the highest factor of the rates, `looks` at most of each.

    Raises UsageError where a server, an archive or an input isn't there, ParityError where a server answers
    otherwise than its model, ServerError where one fails.
    """
    kinds = servers(plan.servers)
    taken = folder.begin(plan)
    searches = searches_of(plan, taken, looks) if goodput else {}
    if not (list(_missing(plan, taken)) or _open(searches)):
        tell("everything is measured already")
        return taken
    tell("what is right: the handlers of the models, alone")
    models = [asked(model, plan.threads) for model in plan.models]
    tell(f"starting {', '.join(plan.servers)}")
    with side_by_side(kinds, [one.registration for one in models], plan.threads) as running:
        _check(running, plan, models, tell)
        for name, number in list(_missing(plan, taken)):
            with at_work(running[name]):
                found = _undisturbed(running[name], plan, models, tell, purpose=RUN, number=number)
            _keep(found, folder, taken)
            tell(f"{name}, run {number + 1} of {plan.runs}: {_in_words(found)}")
        while names := _open(searches):
            for name in names:
                _search_on(running[name], searches[name], plan, models, folder, taken, tell)
    return taken


def searches_of(plan: Together, taken: Sequence[Look], looks: int = LOOKS) -> dict[str, Search]:
    """Each server's search, as far as the looks that were taken have brought it."""
    searches = {name: Search(plan.models, looks) for name in plan.servers}
    for each in taken:
        if each.purpose == SEARCH:
            searches[each.server].tried.append(each.tried(plan))
    return searches


def _search_on(
    server: Running,
    search: Search,
    plan: Together,
    models: Sequence[Asked],
    folder: Folder,
    taken: list[Look],
    tell: Tell,
) -> None:
    """The next look of a server's search."""
    factor = search.next_factor
    assert factor is not None
    number = plan.runs + len(search.tried)
    with at_work(server):
        found = _undisturbed(server, plan, models, tell, factor=factor, purpose=SEARCH, number=number)
    search.tried.append(tried := found.tried(plan))
    _keep(found, folder, taken)
    held = "holds" if tried.held else "fails"
    tell(f"{server.server}, {factor:.3g} times the rates {held}: {_in_words(found)}")
    if (decision := search.decision) is not None:
        tell(f"{server.server}: {decision}")


def _undisturbed(server: Running, plan: Together, models: Sequence[Asked], tell: Tell, **asked: Any) -> Look:
    """A look, again where other programs were busy meanwhile, twice at most."""
    for take in range(MOST_TAKES):
        found = look(server, plan, models, **asked)
        if found.disturbed is None:
            break
        tell(f"{server.server}: {found.disturbed}" + (": again" if take + 1 < MOST_TAKES else ""))
    return found


def _check(running: dict[str, Running], plan: Together, models: Sequence[Asked], tell: Tell) -> None:
    for name, server in running.items():
        with at_work(server):
            worst = max(checked(server, one, plan.settling_s) for one in models)
        tell(f"{name} answers as the models do: nothing is off by more than {worst:.1g}")


def _missing(plan: Together, taken: Sequence[Look]) -> Iterator[tuple[str, int]]:
    """The runs that are not there yet. Every second round goes the other way round."""
    there = {(each.server, each.number) for each in taken if each.purpose == RUN}
    for number in range(plan.runs):
        for name in plan.servers if number % 2 == 0 else reversed(plan.servers):
            if (name, number) not in there:
                yield name, number


def _open(searches: dict[str, Search]) -> list[str]:
    """The servers whose search has no decision yet."""
    return [name for name, search in searches.items() if search.next_factor is not None]


def _keep(found: Look, folder: Folder, taken: list[Look]) -> None:
    folder.add(found)
    taken.append(found)


def _in_words(found: Look) -> str:
    return "; ".join(
        f"{name} {seen.throughput_rps:.1f}/s, {seen.within:.1%} within the bound"
        + (f", {seen.failures} failed" if seen.failures else "")
        + (f", {seen.problem}" if seen.problem else "")
        for name, seen in found.models.items()
    )
