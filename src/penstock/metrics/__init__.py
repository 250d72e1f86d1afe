"""Where a canary's numbers come from: the gateway, the model servers, or a query of the owner's own."""
