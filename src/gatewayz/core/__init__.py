"""What are we talking about? Values shared by all rooms; no I/O, no settings, no clock."""
