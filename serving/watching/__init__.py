"""What an operator sees of a service that runs: metrics, traces and logs; names, numbers and ids, and never a content."""
