"""Entries handed out: as evidence that proves itself, as tables, and in the forms that authorities and security desks read.

selection   which entries, in the log's order        bundle      one zip: entries, proof, policies, verifier
flat        one entry as one row                     tables      CSV, JSON Lines, Parquet
handover    temporary file, record, rename           dsa, ocsf   statements of reasons; findings for a SIEM
"""
