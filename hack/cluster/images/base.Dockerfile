# Debian with Python, from an archive of its root file system: what python:3.11-slim-bookworm is to a Docker user.
FROM scratch
ADD base.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
