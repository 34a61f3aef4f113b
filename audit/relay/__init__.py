"""One process commits for several of one machine: what they hand over, and what they are answered."""
