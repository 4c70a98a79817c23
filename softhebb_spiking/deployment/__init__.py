"""From a trained model to a chip: does it fit, what has to be written, and how it leaves."""
