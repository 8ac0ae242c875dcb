"""A declared workflow becomes a plan, compiled once at start."""
