"""What each second was: heard, clipped, gated, dropped or lost. "No chainsaw" means nothing without it.

ledger = Ledger(home / "ledger")
with ledger.account("garden", clock) as account:
    account.begin(stretch)
    account.heard(block)
ledger.coverage("garden", start_at, end_at)     # {"heard": 86_000.0, …, "lost": 12.5}
"""

from edge_runtime.ledger.account import Account
from edge_runtime.ledger.ledger import Ledger
from edge_runtime.ledger.record import STATES, State

__all__ = ["STATES", "Account", "Ledger", "State"]
