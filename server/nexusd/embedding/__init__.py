"""The Python API: Nexus, DataFlow and WorkflowBuilder over the same definitions that the registry file gives."""
