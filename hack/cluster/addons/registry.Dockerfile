# The CNCF distribution registry, from the statically linked binary.
FROM scratch
COPY registry /registry
USER 65532:65532
ENTRYPOINT ["/registry"]
