# The model server. Context: a folder with site-packages/ and penstock/,
# made by `python -m hack.cluster.images --context runtime`.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
# onnxruntime reports usage over the network unless it is told not to.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app:/app/site-packages ORT_DISABLE_TELEMETRY=1
WORKDIR /app
COPY site-packages /app/site-packages
COPY penstock /app/penstock
USER 65532:65532
ENTRYPOINT ["python3", "-m", "penstock.runtime"]
