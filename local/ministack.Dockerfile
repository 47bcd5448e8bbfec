# The stand-in for AWS, of which docker-compose.yml uses everything but its table.
FROM python:3.12-slim
COPY requirements/ministack.txt /requirements.txt
RUN --mount=type=secret,id=pip --mount=type=cache,target=/var/cache/pip \
    PIP_CONFIG_FILE=/run/secrets/pip PIP_CACHE_DIR=/var/cache/pip pip install --root-user-action ignore --require-hashes --only-binary :all: -r /requirements.txt
USER 10001:10001
EXPOSE 4566
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=2s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:4566/_ministack/ready', timeout=2)"]
CMD ["ministack"]
