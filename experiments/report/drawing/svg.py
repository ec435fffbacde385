"""A matplotlib figure as SVG that belongs into the page: its colours, its fonts, its text alternative.

What matplotlib writes is made for a file of its own. Nothing here knows what is drawn.
"""

import io
import re
from html import escape

from matplotlib.figure import Figure

from experiments.report.drawing.palette import LIGHT

_NUMBER = re.compile(r"-?\d+\.\d{3,}")  # two decimals are enough for a screen
_COLOUR = re.compile("|".join(LIGHT.values()))
_VARIABLES = {value: f"var(--{name})" for name, value in LIGHT.items()}
_FONT = re.compile(r"font-family: [^;\"]*;? ?")
_NOT_TURNED = re.compile(r' transform="rotate\(-?0 [^)]*\)"')
_ID = re.compile(r' id="([^"]*)"')
_USED = re.compile(r'(?:xlink:href="|url\()#([^")]*)')
_OF_ITS_OWN_FILE = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
_SPACE = re.compile(r"\s*\n\s*")
_EMPTY = re.compile(r"<g>\n?</g>\n?|<defs>\n?</defs>\n?")


def inline(figure: Figure, ident: str, title: str, description: str) -> str:
    """The <svg> element. `ident` is unique in the page; `description` says in words what the figure shows.

    The figure must have been drawn with svg.fonttype "none": its text stays text.
    """
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None}, transparent=True)
    drawing = written.getvalue()
    drawing = _OF_ITS_OWN_FILE.sub("", drawing[drawing.index("<svg") :])
    drawing = _NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), drawing)
    drawing = _COLOUR.sub(lambda match: _VARIABLES[match[0]], drawing)
    drawing = _NOT_TURNED.sub("", _FONT.sub("", drawing))
    drawing = _with_own_ids(drawing, ident)
    body = _SPACE.sub("\n", drawing[drawing.index(">") + 1 :])
    body = re.sub(r"(?<=[\d.z])\n(?=[LMCQz\"])", " ", body)  # inside of paths
    body = _EMPTY.sub("", _EMPTY.sub("", body))
    width, height = figure.get_size_inches() * 72
    return (
        f'<svg role="img" viewBox="0 0 {width:g} {height:g}" aria-labelledby="{ident}-t" '
        f'aria-describedby="{ident}-d"><title id="{ident}-t">{escape(title)}</title>'
        f'<desc id="{ident}-d">{escape(description)}</desc>{body.strip()}'
    )


def _with_own_ids(drawing: str, ident: str) -> str:
    """Ids that nothing refers to go; the others begin with the figure's, since a page holds many figures."""
    used = set(_USED.findall(drawing))
    kept = _ID.sub(lambda match: f' id="{ident}-{match[1]}"' if match[1] in used else "", drawing)
    return _USED.sub(lambda match: match[0].replace("#", f"#{ident}-", 1), kept)
