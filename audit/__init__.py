"""The ledger: an append-only Merkle log of every decision, with its reader and its verifier.

canonical   the one byte string that a body has            merkle    RFC 6962 tree, frontier, proofs
body        Decision <-> body                              vault     keys and encrypted payloads
models      tables, triggers, columns projected from bodies  database  connections, clear errors
ledger      the writer (with `committer`, its thread)      query     the reader (with `grammar`, its filters)
verify      the verifier; never imports the writer
"""
