# Builds with the development tools, runs without them.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY nest-cli.json tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
# `dist` is a link to the build; what is copied on is the build itself.
RUN npm run build && cp -rL dist release
RUN npm prune --omit=dev --ignore-scripts && find node_modules -name '*.map' -delete

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
COPY package.json openapi.json common-passwords.bin ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/release dist
# What an operator types: docker exec … latchkey user list
RUN printf '#!/bin/sh\nexec node /app/dist/latchkey.js "$@"\n' > /usr/local/bin/latchkey && chmod 755 /usr/local/bin/latchkey
# The embedded database and its secret, where no other database is configured.
RUN mkdir data && chown node:node data
VOLUME /app/data
USER node
EXPOSE 3000
# What fails this is restarted by Swarm and the like, which helps nobody while the database is away: so it asks whether the
# process lives. Whether requests can be served is for load balancers to ask, at /health/ready.
# A start that migrates answers nobody before it is done, and would begin anew if it were ended.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10m --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 3000}/health/live`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Not through a shell or npm: the signals are for this process.
CMD ["node", "--disable-proto=delete", "dist/main.js"]
