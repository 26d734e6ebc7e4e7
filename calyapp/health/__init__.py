"""Whether Caly is well: the machinery of health checks, which knows none of the things it checks."""
