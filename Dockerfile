# Two stages: the first installs what the lock file says, the second holds Bun, the packages and the source.
# NODE_ENV is production, so the container does not start without JWT_SECRET_KEY (`openssl rand -hex 32` makes one).

FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json bun.lock ./
# Node only brings in Bun, in the one version that package.json names; from then on Bun is a package among the others.
RUN npx -y "bun@$(node -p "require('./package.json').dependencies.bun")" install --frozen-lockfile --production
# The same program under a second name: 100 MB that nothing calls.
RUN rm -f node_modules/bun/bin/bunx.exe node_modules/.bin/bunx

FROM debian:bookworm-slim
# The folder is made here so that a named volume mounted over it belongs to the user that writes to it.
# There is no VOLUME line: Railway refuses images that have one.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin chat \
 && mkdir /data \
 && chown chat:chat /data
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
USER chat
# Bun reads the last one itself, before the program starts: a .env file would be too late.
ENV PATH="/app/node_modules/.bin:$PATH" \
    NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data \
    BUN_CONFIG_MAX_HTTP_REQUESTS=65535
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["bun", "-e", "const { ok } = await fetch(`http://127.0.0.1:${process.env.PORT}/live`); process.exit(ok ? 0 : 1)"]
# No shell in between, so that SIGTERM reaches the server, which then lets running answers finish.
CMD ["bun", "src/index.ts"]
