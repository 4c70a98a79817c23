"""The rungs of the ladder: each runs a `Run` and returns a `RunResult`."""
