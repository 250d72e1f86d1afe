"""The feature schema: what training, validation and serving agree on."""
