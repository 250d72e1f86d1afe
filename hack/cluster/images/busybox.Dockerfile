# A shell, an HTTP server and a DNS client for tests.
FROM scratch
COPY rootfs /
ENV PATH=/bin
USER 65532:65532
CMD ["/bin/sh"]
