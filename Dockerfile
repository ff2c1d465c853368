# syntax=docker/dockerfile:1
# The image: one binary on a distroless base, no shell, not root. `docker buildx build --platform linux/amd64,linux/arm64 .`
#
# Both bases are pinned by the digest of their multi-platform index. No registry was asked for them: each was taken from public repositories that pin the
# same one. To renew: docker buildx imagetools inspect <image>:<tag>
#   rust:       github.com/VitorNathanG/njavac, Dockerfile, and half a dozen others, as rust:1.95-slim-bookworm and rust:1.95.0-slim-bookworm
#   distroless: github.com/StephanMeijer/meneerhenk, Dockerfile, and a dozen others, as gcr.io/distroless/cc-debian12:nonroot
ARG BUILDER=docker.io/library/rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
ARG BASE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

# Each platform is compiled on its own machine (or under emulation): no cross linker, no second set of C headers.
FROM ${BUILDER} AS build
ARG CARGO_AUDITABLE_VERSION=0.7.7
RUN cargo install --locked --root /tools cargo-auditable@${CARGO_AUDITABLE_VERSION}
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY benches ./benches
COPY src ./src
# Seconds since 1970 of the commit: nothing of the build's own time or place gets into the binary.
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    CARGO_INCREMENTAL=0 \
    RUSTFLAGS="--remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo=cargo"
# The dependencies are written into the binary, where scanners of images find them.
RUN PATH=/tools/bin:$PATH cargo auditable build --locked --release --bin probekeeper \
 && install -D -m 0755 target/release/probekeeper /out/usr/local/bin/probekeeper \
 && find /out -exec touch --no-dereference --date=@${SOURCE_DATE_EPOCH} {} +

FROM ${BASE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title=probekeeper \
      org.opencontainers.image.description="Kubernetes admission webhook and linter for liveness, readiness and startup probes" \
      org.opencontainers.image.source=https://github.com/probekeeper/probekeeper \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION}
COPY --from=build /out/ /
# By number: Kubernetes cannot tell of a name that it is not root.
USER 65532:65532
EXPOSE 8443 8081
ENTRYPOINT ["/usr/local/bin/probekeeper"]
CMD ["serve"]
