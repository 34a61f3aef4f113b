"""Looks at an installation before it is trusted with traffic: packages, machine, models, policies, ledger, keys.

`examine()` changes nothing but one file that it makes and removes to time the disk, and names every secret by its place alone.
"""

from doctor.finding import Finding, Status
from doctor.run import PARTS, examine

__all__ = ["PARTS", "Finding", "Status", "examine"]
