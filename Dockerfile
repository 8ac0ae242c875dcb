# syntax=docker/dockerfile:1

# Any image with CPython 3.11 or newer and pip; both stages use it, so that the environment fits the interpreter.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore uv==0.13.9 \
    && uv venv /opt/nexusd
WORKDIR /src
# The dependencies are a layer of their own: they change less often than the code.
COPY requirements.lock ./
RUN uv pip install --no-cache --python /opt/nexusd --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY server server
RUN uv pip install --no-cache --python /opt/nexusd --no-deps .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="nexusd" \
      org.opencontainers.image.licenses="Apache-2.0"
# The root file system can be read-only: byte code is compiled already, and only the volume is written to.
# DATABASE_URL is the short name, so that either name given to the container wins over it.
ENV PATH="/opt/nexusd/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    DATABASE_URL="sqlite:////var/lib/nexusd/nexusd.db"
RUN install --directory --owner=10001 --group=10001 /var/lib/nexusd
COPY --from=build /opt/nexusd /opt/nexusd
WORKDIR /srv/nexusd
COPY config config
COPY migrations migrations
USER 10001:10001
VOLUME /var/lib/nexusd
EXPOSE 8000 3001
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["nexusd", "healthcheck"]
ENTRYPOINT ["nexusd"]
CMD ["serve"]
