"""Measures checks over labelled files: what `genguard eval` runs."""
