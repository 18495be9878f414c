import { mkdtempSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Bench } from "../bench.ts";
import { findCommand } from "../debian-tools.ts";
import { Launched } from "../launched.ts";
import { firstAnswer, freePort } from "../loopback.ts";
import type { HttpServer } from "./http-server.ts";
import { NGINX_VARIANTS, type NginxVariant, nginxConfig } from "./nginx-config.ts";

/** Starts nginx in front of the upstream, with its own configuration, cache and log. Resolves once `readyPath` returns 200. */
export async function startNginx(
  bench: Bench,
  upstreamUrl: string,
  variant: NginxVariant,
  readyPath: string,
  workers = 1,
): Promise<HttpServer> {
  const directory = mkdtempSync(join(bench.scratch, `nginx-${variant}-`));
  const port = await freePort();
  const config = join(directory, "nginx.conf");
  writeFileSync(config, nginxConfig({ directory, port, upstreamUrl, variant, workers }));
  await using starting = new AsyncDisposableStack();
  const launched = starting.use(
    new Launched(bench, {
      name: `nginx-${variant}`,
      command: [
        findCommand("nginx") ?? "nginx",
        "-p",
        directory,
        "-e",
        join(directory, "error.log"),
        "-c",
        config,
      ],
      cores: bench.cores?.server,
    }),
  );
  const url = `http://127.0.0.1:${port}`;
  await firstAnswer(bench, launched, url + readyPath);
  const running = starting.move();
  return {
    name: NGINX_VARIANTS[variant],
    url,
    pid: launched.pid,
    tidy: () => {
      if (variant === "usual") truncateSync(join(directory, "access.log"));
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
