"""The figures of a report, a module each: what is in them and how it is laid out. Drawn by drawing/."""
