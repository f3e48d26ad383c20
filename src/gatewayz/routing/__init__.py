"""Which way should it go? Filters, scores, plans, failover and breakers."""
