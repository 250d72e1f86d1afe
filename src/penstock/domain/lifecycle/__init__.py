"""The rollout state machine of a Model: what is seen goes in, the next decision comes out."""
