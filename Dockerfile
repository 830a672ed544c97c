# Head, workers and driver of a cluster, or one machine:
#
#   docker build -t uniaudio2-batch:0.1.0 .
#   docker run --rm --shm-size=2g -v /data:/data uniaudio2-batch:0.1.0 run asr /data/in /data/out
#
# torch is the build that the package index gives, with CUDA; for machines without a GPU give the
# address of PyTorch's index of CPU builds: --build-arg TORCH_INDEX=ADDRESS
FROM python:3.11.7-slim-bookworm

# KubeRay's probes of a container's health call wget
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 uniaudio2

ARG TORCH_INDEX=""
WORKDIR /app
COPY constraints.txt ./
# torch goes first, so that nothing else can choose another build of it
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt \
        ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
COPY pyproject.toml README.md LICENSE ./
COPY uniaudio2 uniaudio2
COPY actors actors
COPY pipelines pipelines
COPY configs configs
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[cluster,formats,score]'
# its weights alone are read; what it asks for would have to be compiled
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt --no-deps resemblyzer
# torchaudio's wheel is built for CUDA: without it, its compiled extensions cannot be loaded
RUN python -c "import importlib.util, pathlib, torch; \
home = pathlib.Path(importlib.util.find_spec('torchaudio').origin).parent; \
found = [] if torch.version.cuda else list((home / 'lib').glob('_torchaudio*.so')); \
[extension.unlink() for extension in found]"

USER uniaudio2
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["uniaudio2"]
CMD ["doctor"]
