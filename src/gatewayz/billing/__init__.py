"""What does it cost, and who pays? Quote, hold, capture or void, and a ledger in which every cent can be found again."""
