# The Jobs that look at data. Context: a folder with site-packages/ and penstock/; to build it with Docker:
#   docker build -f hack/cluster/images/jobs.Dockerfile "$(python -m hack.cluster.images --context jobs)"
ARG BASE=docker.io/library/python:3.11-slim-bookworm
ARG DEPENDENCIES=dependencies

FROM ${BASE} AS dependencies
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app:/app/site-packages
WORKDIR /app
COPY site-packages /app/site-packages

FROM ${DEPENDENCIES}
COPY penstock /app/penstock
# The user has no entry in /etc/passwd; libraries that ask for its name or home find them here.
ENV USER=penstock HOME=/tmp
USER 65532:65532
ENTRYPOINT ["python3", "-m", "penstock.jobs.validate"]
