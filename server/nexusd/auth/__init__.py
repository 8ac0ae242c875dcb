"""Credentials become a Principal: keys, tokens, scopes, limits."""
