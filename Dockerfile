# One image a service: docker build --build-arg SERVICE=ingest .
# Behind mirrors of the package indexes: --secret id=pip,src=pip.conf --secret id=npm,src=.npmrc; no layer keeps them.
FROM node:20-slim AS pages
WORKDIR /pages
COPY services/insights/pages/package.json services/insights/pages/package-lock.json ./
RUN --mount=type=secret,id=npm NPM_CONFIG_USERCONFIG=/run/secrets/npm npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
 && mkdir vendor && cp node_modules/htmx.org/dist/htmx.min.js node_modules/uplot/dist/uPlot.iife.min.js \
      node_modules/uplot/dist/uPlot.min.css vendor/


FROM python:3.12-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
RUN python -m venv --without-pip /venv
ARG SERVICE
COPY requirements/${SERVICE}.txt /requirements.txt
RUN --mount=type=secret,id=pip --mount=type=cache,target=/var/cache/pip \
    PIP_CONFIG_FILE=/run/secrets/pip PIP_CACHE_DIR=/var/cache/pip pip --python /venv/bin/python install --require-hashes --only-binary :all: --no-compile -r /requirements.txt

# A third of it is for nobody here: debug symbols, tests, zstandard's second backend, and 400 services of AWS.
# Not *.libs: what was moved there by patchelf does not survive strip.
RUN cd /venv/lib/python3.12/site-packages \
 && find . -name '*.so' -not -path '*.libs/*' -exec strip --strip-debug {} + \
 && find . -type d -name tests -prune -exec rm -r {} + \
 && rm -f zstandard/_cffi.* \
 && find botocore/data -mindepth 1 -maxdepth 1 -type d \
      | grep -vE '/(bedrock-runtime|dynamodb|events|sagemaker-runtime|secretsmanager|sns|sqs|ssm|sts)$' | xargs rm -r

WORKDIR /app
COPY iops iops
COPY services/__init__.py services/
COPY services/${SERVICE} services/${SERVICE}
COPY ml/model/*.ubj ml/model/model_card.json ml/model/
COPY --from=pages /pages/vendor /vendor
# Only insights scores and has pages. Byte code now: at run time the file system is read-only, and the user is nobody.
RUN if [ "$SERVICE" = insights ]; then cp -r /vendor services/insights/pages/static/; else rm -r ml; fi \
 && chmod -R a+rX . \
 && /venv/bin/python -m compileall -q /venv/lib .


FROM python:3.12-slim AS service
RUN pip uninstall --quiet --yes --root-user-action ignore pip
ARG SERVICE
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    IOPS_LISTEN_HOST=0.0.0.0 SERVICE=${SERVICE}
ARG VERSION=dev
ENV IOPS_VERSION=${VERSION}
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=2s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
CMD ["sh", "-c", "exec python -m services.$SERVICE"]


# What stands in for AWS on a laptop (docker-compose.yml); no service carries it.
FROM service AS laptop
COPY --chmod=755 local local
USER 0
RUN install -d -m 700 -o 10001 -g 10001 /state /state/agent /state/grafana /mail
USER 10001:10001


FROM service
