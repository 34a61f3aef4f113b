"""Work on a Ray cluster: checks and generators as deployments, asked through the protocols that they have in one process."""
