"""Controllers: load what is there, let `domain` decide, apply. One folder per kind."""
