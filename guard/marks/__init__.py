"""Marks on released outputs, and reading them back."""
