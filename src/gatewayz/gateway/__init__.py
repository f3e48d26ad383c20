"""What happens to a request? The pipeline, from the first byte to the committed charge."""
