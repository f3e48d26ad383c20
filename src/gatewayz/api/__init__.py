"""How does one get in? HTTP doors over the rooms: bodies are checked, callers identified, answers shaped."""
