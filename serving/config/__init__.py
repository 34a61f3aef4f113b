"""Where settings come from: the file `genguard.toml`, its example, and what each setting is and why."""
