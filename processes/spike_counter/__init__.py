"""Reads the output of a layer."""
