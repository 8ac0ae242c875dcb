"""Sinks for events: logs, metrics, traces. One a file, each an Observer."""
