"""Writes what arrives, step by step."""
