"""Text as it is meant to be read: disguises undone, with a map back to what was written."""
