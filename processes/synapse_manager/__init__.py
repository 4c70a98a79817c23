"""What the management phase does to synapses."""
