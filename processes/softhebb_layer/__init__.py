"""Synapses, neurons and their pool as one Process."""
