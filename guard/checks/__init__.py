"""What can be measured: one check a file, each registered in `guard.registry.checks`."""
