"""A local page where a person draws an image and watches populations compete for it."""
