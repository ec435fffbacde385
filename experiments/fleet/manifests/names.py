"""Names that go into manifests, units, URLs and commands: what they may be, so that nothing need be escaped.

The rule of a service's name is that of DNS labels (RFC 1123), which Kubernetes asks for; it is shorter, since
objects are named after it with an ending, and begins with a letter, as a Service's name has to.
"""

import re

from experiments.base.errors import UsageError

LONGEST_NAME = 40

_PART = r"[a-z0-9][a-z0-9._-]{0,100}"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_LABEL_RULE = "lower-case letters, digits and '-', at most 63"
_RULES = {
    "service": (
        rf"[a-z]([a-z0-9-]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?",
        f"lower-case letters, digits and '-', at most {LONGEST_NAME}, a letter first",
    ),
    "namespace": (_LABEL, _LABEL_RULE),
    "claim": (_LABEL, _LABEL_RULE),
    "archive": (
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,90}\.mar",
        "a file's name of letters, digits, '.', '_' and '-' that ends in .mar",
    ),
    "card": (
        r"[A-Za-z0-9]([A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?",
        "letters, digits, blanks, '.', '_' and '-', at most 63",
    ),
    "image": (
        rf"[a-z0-9][a-z0-9.-]{{0,200}}(:[0-9]{{1,5}})?(/{_PART}){{0,6}}:[A-Za-z0-9_][A-Za-z0-9._-]{{0,100}}",
        "registry/name:tag, without @",
    ),
    "url": (
        r"https?://[A-Za-z0-9][A-Za-z0-9.-]{0,200}(:[0-9]{1,5})?(/[A-Za-z0-9._/-]{0,200})?",
        "http://host:port, with a plain path at most",
    ),
    "arn": (r"arn:[A-Za-z0-9:/_+=,.@-]{1,300}", "one of Amazon's, arn:…"),
    "path": (
        r"(/[A-Za-z0-9][A-Za-z0-9._-]{0,60}){1,8}",
        "an absolute path of letters, digits, '.', '_' and '-'",
    ),
}


def refuse_name(kind: str, name: str) -> str:
    """`name`, where it is one of its `kind`. Raises UsageError, with the rule, where it is none."""
    pattern, rule = _RULES[kind]
    if not re.fullmatch(pattern, name, re.ASCII):
        raise UsageError(f"{kind} {name[:80]!r}: give {rule}")
    return name
