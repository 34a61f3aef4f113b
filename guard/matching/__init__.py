"""Fingerprints of protected works, and the banks that hold them."""
