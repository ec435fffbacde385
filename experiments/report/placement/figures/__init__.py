"""The figures of a placement's page, a module each. Drawn by ../../drawing."""
