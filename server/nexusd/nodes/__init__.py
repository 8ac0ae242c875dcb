"""What a plan is made of: each file runs one kind of node."""
