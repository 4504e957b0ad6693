# The commands on a CPU. Build: docker build -t jax-inversion .
# Use, with the data below the working folder: docker run --rm -v "$PWD:/work" jax-inversion infer --ckpt pretrained --data DATA
FROM python:3.12-slim
COPY . /src
RUN pip install --no-cache-dir /src && rm -r /src
ENV MPLBACKEND=Agg XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/cache/matplotlib
WORKDIR /work
ENTRYPOINT ["jax-inversion"]
