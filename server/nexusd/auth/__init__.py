"""Credentials become a Principal: keys, tokens, limits."""
