# syntax=docker/dockerfile:1

# docker build --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) \
#   --build-arg CREATED=$(date -u +%Y-%m-%dT%H:%M:%SZ) -t statsig-forward-proxy .
# Both architectures: docker buildx build --platform linux/amd64,linux/arm64 …
# Behind a proxy: --build-arg HTTPS_PROXY=http://… --build-arg NO_PROXY=…, which Docker passes to every RUN.
# With a mirror of the npm registry, or a private CA: --secret id=npmrc,src=$HOME/.npmrc --secret id=ca,src=company-ca.pem.
# Neither becomes a part of the image.

# `npm run pin-images` pins the base images by the digest that their tags stand for.

# The build runs on the builder's architecture and cross-compiles: nothing is emulated.
FROM --platform=$BUILDPLATFORM node:22-bookworm-slim AS build
WORKDIR /src
COPY package.json bun.lock bunfig.toml ./
COPY scripts scripts
# Running this script installs Bun and the locked packages that the relay needs. This layer is cached until one of the copied files changes.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=secret,id=ca \
  if [ -f /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi \
  && node scripts/with-bun.mjs scripts/command.ts
COPY . .
ARG TARGETARCH
ARG REVISION=unknown
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=secret,id=ca \
  if [ -f /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi \
  && case "$TARGETARCH" in amd64) target=linux-x64 ;; *) target="linux-$TARGETARCH" ;; esac \
  && SFP_BUILD_COMMIT="$REVISION" node scripts/with-bun.mjs scripts/build.ts --target "$target" \
    --image-root /out/root \
  && mkdir -p /out/state

# The executable needs only glibc: no shell, no package manager, no OpenSSL.
FROM gcr.io/distroless/base-nossl-debian12:nonroot
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="statsig-forward-proxy" \
  org.opencontainers.image.description="A relay between Statsig's CDN and your servers" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="$VERSION" \
  org.opencontainers.image.revision="$REVISION" \
  org.opencontainers.image.created="$CREATED" \
  org.opencontainers.image.base.name="gcr.io/distroless/base-nossl-debian12:nonroot"

COPY --from=build /src/LICENSE /usr/share/doc/statsig-forward-proxy/LICENSE
# The executable in /usr/local/bin, and links to it with the names of the programs in the original's image.
COPY --from=build /out/root /
# The only writable folder: the root filesystem may be read-only (docker run --read-only).
COPY --from=build --chown=65532:65532 /out/state /var/lib/statsig-forward-proxy
VOLUME /var/lib/statsig-forward-proxy

# Defaults, which arguments and variables override. They are variables so that the health check sees them too.
ENV SFP_MODE=grpc-and-http \
  SFP_CACHE=local \
  SFP_LOCAL_CACHE_PATH=/var/lib/statsig-forward-proxy/cache \
  NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt

# Relative paths in options are resolved here, as in the original's image.
WORKDIR /app

# HTTP, management, HTTPS, gRPC, gRPC with TLS.
EXPOSE 8000 8001 8443 50051 50052
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/usr/local/bin/statsig-forward-proxy", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/statsig-forward-proxy"]
