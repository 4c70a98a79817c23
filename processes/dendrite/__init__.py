"""Dendrites that report the drive of their unit to plastic synapses."""
