"""A small asyncio Kubernetes toolkit: client, applier, cache, queue, lease, events. Knows nothing of models."""
