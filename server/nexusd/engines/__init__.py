"""Run a plan: inline, in this process, or durably."""
