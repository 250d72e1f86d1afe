"""Model artifacts: naming them by digest, pushing them to a registry, fetching and verifying them."""
