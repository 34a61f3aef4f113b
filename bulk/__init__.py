"""Takes whole files and folders through a policy: what `genguard bulk check` runs."""
