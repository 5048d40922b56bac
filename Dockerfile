# push-exporter: built in one stage, and a second with the program, CA certificates and nothing to build with.
#
#     docker build -t push-exporter . && docker run --rm -p 10110:10110 push-exporter demo
FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock askama.toml ./
COPY src src
RUN cargo build --release --locked

FROM docker.io/library/debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    # The ledger's place, for a volume.
    && install --directory --owner=65532 --group=65532 /var/lib/push-exporter
COPY --from=build /build/target/release/push-exporter /usr/local/bin/push-exporter
USER 65532:65532
WORKDIR /var/lib/push-exporter
EXPOSE 10110
# With another --web.listen-address, a --web.route-prefix or a --web.probe-address, give it the same flags.
HEALTHCHECK CMD ["push-exporter", "health"]
ENTRYPOINT ["push-exporter"]
