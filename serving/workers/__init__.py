"""`genguard serve --workers N`: processes that serve one address, one that commits for them, and who starts them all."""
