"""How is it going? One record per request, and everything that is read from those records."""
