"""The controller of Models."""
