# Two images, each with what it runs as a user without rights, and no torch:
#   docker build --target client -t pi-system-client .
#   docker build --target server -t pi-system-server .      server and dealer
# The demo's network is trained while they are built; nothing is fetched at run time.
FROM python:3.11-slim AS build
# The published base image has Python's headers; a base made from Debian's own Python gets them here.
RUN apt-get update && apt-get install -y --no-install-recommends g++ \
 && { test -e "$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
   || apt-get install -y --no-install-recommends python3-dev; } \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/build && /opt/build/bin/pip install --upgrade "pip>=25.1"
ENV PATH=/opt/build/bin:$PATH
WORKDIR /src
COPY pyproject.toml README.md LICENSE CMakeLists.txt ./
COPY pi_system pi_system
COPY server server
COPY client client
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM build AS installed-client
RUN python -m venv --without-pip /opt/pi && pip --python /opt/pi/bin/python install /wheels/*.whl

FROM build AS installed-server
RUN python -m venv --without-pip /opt/pi && pip --python /opt/pi/bin/python install "$(ls /wheels/*.whl)[server]"

FROM build AS demo
# As in the Makefile: the CPU build, where that index can be reached; no image keeps it.
ARG TORCH="torch==2.13.0 --extra-index-url https://download.pytorch.org/whl/cpu"
RUN pip install --no-deps $TORCH && pip install "$(ls /wheels/*.whl)[train]"
COPY scripts/demo.py scripts/demo.py
RUN python scripts/demo.py --train-only /opt/demo

FROM python:3.11-slim AS user
RUN useradd --create-home --uid 10001 pi
# Volumes mounted here take this owner over. Keys are made when containers start: an image must not hold any.
RUN install -d -m 700 -o pi -g pi /keys/server /keys/client /keys/dealer /keys/authority \
    /home/pi/.local /home/pi/.local/share /home/pi/.local/share/pi-system
ENV PATH=/opt/pi/bin:$PATH PYTHONUNBUFFERED=1
USER pi
WORKDIR /home/pi

FROM user AS client
COPY --from=installed-client /opt/pi /opt/pi
COPY --from=demo --chown=pi:pi /opt/demo/picture.png /pictures/picture.png

FROM user AS server
COPY --from=installed-server /opt/pi /opt/pi
COPY --from=demo --chown=pi:pi /opt/demo/artifact /model
