"""Gates: what an evaluation Job is asked and answers, what its numbers mean, and when one is due."""
