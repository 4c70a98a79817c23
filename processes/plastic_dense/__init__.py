"""Synapses that learn in integers, each rounded by a random number of its own."""
