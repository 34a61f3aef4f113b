"""Pages for officers, reviewers and authors: HTML made here, small scripts beside it, nothing from elsewhere."""
