"""Brings a database to the registry's models before anything is served."""
