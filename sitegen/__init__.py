"""Makes the documentation site from `docs/` and from the code: pages of checks, routes, settings, packs and model cards."""
