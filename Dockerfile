# One image for server, client and dealer. The build stage has the compiler; the final one only what runs, as a
# user without rights. The demo's network is trained while the image is built; nothing is fetched at run time.
FROM python:3.11-slim AS build
# The published base image has Python's headers; a base made from Debian's own Python gets them here.
RUN apt-get update && apt-get install -y --no-install-recommends g++ \
 && { test -e "$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
   || apt-get install -y --no-install-recommends python3-dev; } \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/pi
ENV PATH=/opt/pi/bin:$PATH PIP_NO_CACHE_DIR=1
ARG TORCH="torch==2.13.0"
RUN pip install --upgrade "pip>=25.1" && pip install $TORCH && pip install --no-deps crypten==0.4.1
WORKDIR /src
COPY pyproject.toml README.md LICENSE CMakeLists.txt ./
COPY pi_system pi_system
COPY server server
COPY client client
RUN pip install .
COPY scripts/demo.py scripts/demo.py
RUN python scripts/demo.py --train-only /opt/demo

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 pi
COPY --from=build /opt/pi /opt/pi
COPY --from=build --chown=pi:pi /opt/demo/artifact /model
COPY --from=build --chown=pi:pi /opt/demo/picture.png /pictures/picture.png
# Volumes mounted here take this owner over. Keys are made when containers start: an image must not hold any.
RUN install -d -m 700 -o pi -g pi /keys/server /keys/client /keys/dealer /keys/authority \
    /home/pi/.local /home/pi/.local/share /home/pi/.local/share/pi-system
ENV PATH=/opt/pi/bin:$PATH PYTHONUNBUFFERED=1
USER pi
WORKDIR /home/pi
