"""What a canary is judged by: counters, analyses, verdicts and plans. Pure values in, pure values out."""
