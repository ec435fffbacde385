"""The report's colours: one name each, a value for light and one for dark.

Figures are drawn in the light ones; svg.py turns them into CSS variables, so that a figure follows the page.
The series' colours are told apart with any colour vision (after Okabe and Ito, "Color universal design",
2008); none of them carries meaning without a marker, a dash or a word beside it.
"""

LIGHT = {
    "paper": "#fefefe",
    "ink": "#1c2126",
    "muted": "#5b646d",
    "grid": "#e4e7eb",
    "band": "#eceff3",
    "bar": "#dbe7f1",
    "off": "#0072b2",
    "on": "#d55e00",
    "third": "#00856a",
    "fourth": "#a8488a",
    "fifth": "#8a6a00",
    "sixth": "#5a50b0",
    "better": "#00795d",
    "worse": "#b02e6f",
    "theirs": "#9ba4ae",
    "theirs2": "#c2c9d1",
}
DARK = {
    "paper": "#14171a",
    "ink": "#e9ecef",
    "muted": "#a4adb6",
    "grid": "#2b3137",
    "band": "#23292f",
    "bar": "#22384a",
    "off": "#5cb2ef",
    "on": "#f58b45",
    "third": "#3ecfa8",
    "fourth": "#e29bc8",
    "fifth": "#e3c254",
    "sixth": "#aba2f5",
    "better": "#45d3ad",
    "worse": "#f08bb7",
    "theirs": "#7d8791",
    "theirs2": "#565f68",
}
SERIES = ("off", "on", "third", "fourth", "fifth", "sixth")
MARKERS = ("o", "D", "s", "^", "v", "P")


def css(colours: dict[str, str]) -> str:
    """The declarations of the variables, `--off:#0072b2;...`."""
    return "".join(f"--{name}:{value};" for name, value in colours.items())
