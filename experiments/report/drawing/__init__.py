"""How a figure is drawn: canvas, colours, SVG for the page and PNG for everywhere else. Knows no results."""
