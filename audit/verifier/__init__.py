"""The verifier's parts; `audit.verify` puts them together. None imports the writer.

report      what is found, and what it comes to           source       one read-only state of a database
structure   tables, indexes, triggers, pages              stretch      entries from one index to another
typed       bodies of decisions, read strictly and fast   careful      one entry, slowly, with words for what is wrong
payloads    stored payloads and subject keys              fingerprints those of released images
course      what depends on the entries before            heads        checkpoints that were kept elsewhere
tiles       stored hashes of the tree                     moments      stored times of spans of entries
order       entries that changed places                   postgres     a state of a PostgreSQL database
pool        several processes at work on one state        worker       one of them
wire        what they tell each other
"""
