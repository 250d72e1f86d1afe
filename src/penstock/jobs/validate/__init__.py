"""The validation Job: reads a dataset, checks it against its FeatureSet and says in one message what it found."""
