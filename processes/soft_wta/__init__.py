"""Populations of spiking neurons that compete."""
