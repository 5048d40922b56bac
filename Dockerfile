# push-exporter: compiled in one stage, its surroundings gathered in a second, the image made of those alone.
#
#     docker build -t push-exporter . && docker run --rm -p 10110:10110 push-exporter demo
#
# It names no architecture: build amd64 on amd64 and arm64 on arm64. With --platform an emulator does it, much slower.
# The commit that push_exporter_build_info shows: --build-arg REVISION=$(git rev-parse HEAD)
ARG BUILD_IMAGE=docker.io/library/rust:1.95-slim-bookworm
# What the program needs at run time is taken from here. Not older than the build image, because of the C library.
ARG RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
# Dependencies in a layer of their own, around an empty program: it stays until Cargo.toml or Cargo.lock change. What is
# compiled of the empty program is removed, since Cargo goes by dates and those of the sources may be older.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked --bin push-exporter \
    && cargo clean --release --locked --package push-exporter \
    && rm -r src
COPY askama.toml ./
COPY src src
ARG REVISION
RUN PUSH_EXPORTER_REVISION="$REVISION" cargo build --release --locked --bin push-exporter

FROM ${RUNTIME_IMAGE} AS root
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates tzdata
COPY --from=build /build/target/release/push-exporter /usr/local/bin/push-exporter
# Everything of the image in one folder. The dpkg status says to scanners which packages the files are of.
RUN set -eu; \
    mkdir /image; \
    cp --parents --dereference $(ldd /usr/local/bin/push-exporter | grep -o '/[^ ]*') /usr/local/bin/push-exporter \
        /etc/ssl/certs/ca-certificates.crt /etc/os-release /image; \
    mkdir -p /image/usr/share /image/var/lib/dpkg/status.d /image/etc/push-exporter; \
    cp --archive /usr/share/zoneinfo /image/usr/share; \
    rm -rf /image/usr/share/zoneinfo/posix /image/usr/share/zoneinfo/right; \
    for package in ca-certificates libc6 libgcc-s1 tzdata; do \
        dpkg-query --status "$package" >"/image/var/lib/dpkg/status.d/$package"; \
        cp --parents --dereference "/usr/share/doc/$package/copyright" /image; \
    done; \
    echo 'root:x:0:0:root:/:/sbin/nologin' >/image/etc/passwd; \
    echo 'push-exporter:x:65532:65532:push-exporter:/var/lib/push-exporter:/sbin/nologin' >>/image/etc/passwd; \
    printf 'root:x:0:\npush-exporter:x:65532:\n' >/image/etc/group; \
    install --directory --mode=1777 /image/tmp; \
    install --directory --owner=65532 --group=65532 /image/var/lib/push-exporter; \
    chroot /image /usr/local/bin/push-exporter --version | grep push-exporter

# No shell and no Debian, which would be four fifths of the image. The program's own commands do what a shell would be for:
# docker exec NAME push-exporter check.
FROM scratch
COPY --from=root /image/ /
ENV PATH=/usr/local/bin
USER 65532:65532
# Commands without --config.file, such as `check`, find push-exporter.yml here.
WORKDIR /etc/push-exporter
EXPOSE 10110
# The ledger is in /var/lib/push-exporter. It is no VOLUME: an anonymous one would hide that none was mounted. Run it with
# --read-only, and a start without a volume is refused, in the place of a ledger that goes with its container. All else may
# be read-only; the demo alone writes, to /tmp.
# The check asks port 10110 by plain HTTP: publish it as another port rather than listen on one. With --web.config.file, a
# prefix or another port it needs flags of its own, which Compose can give it (healthcheck: test: [CMD, push-exporter, health,
# --web.probe-address=:10111], and the same flag for the exporter); docker run cannot without a shell: --no-healthcheck.
HEALTHCHECK --interval=30s --timeout=5s CMD ["push-exporter", "health"]
ENTRYPOINT ["push-exporter"]
CMD ["--config.file=/etc/push-exporter/push-exporter.yml"]
ARG REVISION
LABEL org.opencontainers.image.title="push-exporter" \
    org.opencontainers.image.description="Prometheus exporter for push-notification delivery" \
    org.opencontainers.image.source="https://github.com/push-exporter/push-exporter" \
    org.opencontainers.image.documentation="https://github.com/push-exporter/push-exporter#readme" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.revision="$REVISION"
