"""The words of nexusd: models, workflows, templates, executions. No I/O beyond reading the registry."""
