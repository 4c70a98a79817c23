"""The pool that all populations share."""
