"""The MCP door: one tool a workflow, over Streamable HTTP and stdio."""
