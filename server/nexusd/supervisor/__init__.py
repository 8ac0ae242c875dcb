"""What keeps the daemon running: services in one process, worker processes, and what is told of their health."""
