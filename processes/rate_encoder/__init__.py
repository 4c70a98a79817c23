"""Samples to input spikes."""
