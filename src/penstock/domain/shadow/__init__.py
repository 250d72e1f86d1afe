"""Shadow: what the answers to copied requests say about a candidate. Counts come in, a verdict goes out."""
