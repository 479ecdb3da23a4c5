# syntax=docker/dockerfile:1
# One image for everything: the command line, Ray's nodes, MLflow's server and the jobs beside it.
#
#   docker build --tag registry.example.org/neurosearch:0.1.0-ray2.60.0 .
#   docker build --tag registry.example.org/neurosearch:0.1.0-ray2.60.0-gpu \
#     --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 .
#
# The tag must tell Ray's version, as above: the manifests state it, and what does not agree is refused. BASE is any Debian
# or Ubuntu with Python 3.11 or newer; both bases get the same packages, with the CUDA libraries that PyTorch brings along.
# No compiler is in the image, so `training.compile`, which needs one, does not work in it.
ARG BASE=debian:13.2-slim

FROM ${BASE} AS build
# BASE pins the release of the distribution; a version of a package is gone from its archive with the next security fix.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY constraints-image.txt ./
# pip stands beside the environment and not in it.
RUN python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/neurosearch \
    && /opt/pip/bin/pip --python /opt/neurosearch/bin/python install \
       --no-cache-dir --only-binary :all: --require-hashes --requirement constraints-image.txt
COPY pyproject.toml README.md LICENSE ./
COPY neurosearch neurosearch
# What built the package goes again.
RUN /opt/pip/bin/pip --python /opt/neurosearch/bin/python install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/pip/bin/pip --python /opt/neurosearch/bin/python uninstall --yes hatchling trove-classifiers

FROM ${BASE}
# As above.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 neurosearch \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /scratch --shell /usr/sbin/nologin neurosearch \
    && install --directory --owner=10001 --group=0 --mode=0775 /scratch \
    # A login shell sets PATH anew; KubeRay can be told to use one.
    && echo "PATH=/opt/neurosearch/bin:\$PATH" >/etc/profile.d/neurosearch.sh
COPY --from=build /opt/neurosearch /opt/neurosearch
# Any user may run it, also one without a name: USER is what libraries ask for then.
ENV PATH=/opt/neurosearch/bin:$PATH \
    HOME=/scratch \
    USER=neurosearch \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    RAY_USAGE_STATS_ENABLED=0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /scratch
USER 10001:10001
# Kubernetes asks by the probes of each manifest; one command would not fit all that runs from this image.
HEALTHCHECK NONE
CMD ["neurosearch", "--help"]
