"""What each cell of the matrix does: the next checkpoint and the sentence that explains it."""
