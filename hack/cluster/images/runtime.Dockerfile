# The model server. Context: a folder with site-packages/ and penstock/; to build it with Docker:
#   docker build -f hack/cluster/images/runtime.Dockerfile "$(python -m hack.cluster.images --context runtime)"
ARG BASE=docker.io/library/python:3.11-slim-bookworm
ARG DEPENDENCIES=dependencies

FROM ${BASE} AS dependencies
# onnxruntime reports usage over the network unless it is told not to.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app:/app/site-packages ORT_DISABLE_TELEMETRY=1
WORKDIR /app
COPY site-packages /app/site-packages

FROM ${DEPENDENCIES}
COPY penstock /app/penstock
# The user has no entry in /etc/passwd; libraries that ask for its name find it here.
ENV USER=penstock
USER 65532:65532
ENTRYPOINT ["python3", "-m", "penstock.runtime"]
