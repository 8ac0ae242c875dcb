"""The command line: the operator's commands, and one command a workflow."""
