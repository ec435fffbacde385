"""The first answers: each of the user's files is sent once, alone, before anything is measured with them.

A file that the model refuses would make every trial invalid, and be told at the end.
"""

from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from experiments.base.errors import ExperimentError
from experiments.bench.inputs import spread
from experiments.load import Body
from experiments.serving.torchserve.printed import settled

MOST = 200  # of a larger folder so many, evenly spread
NAMED = 3
ANSWER_CHARS = 120
TIMEOUT_S = 130.0  # TorchServe's own is 120


def refuse_unanswered(
    url: str, headers: Mapping[str, str], pool: Sequence[Body], log: Callable[[], str]
) -> int:
    """Sends the bodies that came from files, one at a time; returns how many were sent.

    Raises ExperimentError, naming the files with the server's answers, where one gets no 2xx; with the
    server's `log`, where it has failed and not just refused.
    """
    sent = spread([body for body in pool if body.name], MOST)
    told = {body.name: answer for body in sent if (answer := _refusal(url, headers, body))}
    if told:
        named = ", ".join(f"{name} ({answer})" for name, answer in list(told.items())[:NAMED])
        more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
        failed = any(not answer.startswith("4") for answer in told.values())
        raise ExperimentError(
            f"{len(told)} of the {len(sent)} files sent get no good answer: {named}{more}; mend them, "
            "take them away, or try another --input-as: nothing was measured",
            details=settled(log) if failed else "",
        )
    return len(sent)


def _refusal(url: str, headers: Mapping[str, str], body: Body) -> str:
    """What the server says to a body that it does not answer with 2xx; empty where it does."""
    target = urlsplit(url)
    connection = HTTPConnection(target.hostname or "", target.port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", target.path, body.data, {**headers, "Content-Type": body.content_type})
        answer = connection.getresponse()
        said = " ".join(answer.read().decode("utf-8", "replace").split())[:ANSWER_CHARS]
    except (OSError, HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    return "" if 200 <= answer.status < 300 else f"{answer.status} {answer.reason}: {said}".rstrip(": ")
