"""The cards of a Ray cluster. Ray, an extra, is used in this folder alone, and imported when asked for."""
