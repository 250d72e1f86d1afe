"""The Kubernetes API of Penstock as pydantic types, and the generator of its CRDs."""
