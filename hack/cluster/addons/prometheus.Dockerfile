# Prometheus, from the statically linked binary.
FROM scratch
COPY rootfs /
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/prometheus"]
