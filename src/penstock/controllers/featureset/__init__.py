"""Validates datasets: one Job per definition and occasion, its numbers shown in the FeatureSet's status."""
