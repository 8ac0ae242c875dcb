"""The doors: HTTP, MCP and the command line. Each turns what it got into an Invocation and renders the Execution."""
