# Envoy Gateway's control plane and, in Envoy's pod, its shutdown manager, from the statically linked binary.
FROM scratch
COPY rootfs /
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/envoy-gateway"]
