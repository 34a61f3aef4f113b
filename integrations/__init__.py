"""Thin wrappers for other libraries: each needs its extra, and is all that knows the library."""
