/** Configurations of nginx as a caching proxy, with the names that tables show. */
export const NGINX_VARIANTS = {
  /** As in Debian's nginx.conf, with its access log. */
  usual: "nginx",
  /** No log; files of the cache stay open; each worker has its own listener. */
  tuned: "nginx tuned",
  /** As tuned, but files are read into memory: over loopback, sendfile is slower for large ones. */
  copying: "nginx copying",
} as const;

export type NginxVariant = keyof typeof NGINX_VARIANTS;

export interface NginxConfig {
  readonly directory: string;
  readonly port: number;
  readonly upstreamUrl: string;
  readonly variant: NginxVariant;
  readonly workers: number;
}

export function nginxConfig({ directory, port, upstreamUrl, variant, workers }: NginxConfig): string {
  const asRoot = process.getuid?.() === 0 ? "user root;" : "";
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `
${asRoot}
daemon off;
worker_processes ${workers};
pid ${directory}/nginx.pid;
error_log ${directory}/error.log warn;
events { worker_connections 4096; }
http {
  ${temporary.map((kind) => `${kind}_temp_path ${directory}/${kind};`).join("\n  ")}
  default_type application/json;
  ${tuning(variant, directory).join("\n  ")}
  proxy_cache_path ${directory}/cache levels=1:2 keys_zone=specs:10m max_size=1g inactive=60m use_temp_path=off;
  server {
    listen 127.0.0.1:${port} backlog=4096${variant === "usual" ? "" : " reuseport"};
    location / {
      proxy_pass ${upstreamUrl};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache specs;
      proxy_cache_key "$request_uri $http_accept_encoding";
      proxy_cache_valid 200 60m;
      proxy_cache_lock on;
      proxy_cache_use_stale error timeout updating;
    }
  }
}
`;
}

function tuning(variant: NginxVariant, directory: string): string[] {
  const sending = variant === "copying" ? ["sendfile off;", "output_buffers 2 512k;"] : ["sendfile on;"];
  const keeping =
    variant === "usual"
      ? [`access_log ${directory}/access.log combined;`]
      : ["access_log off;", "open_file_cache max=1000 inactive=60s;", "open_file_cache_valid 60s;"];
  return [...sending, "tcp_nopush on;", ...keeping];
}
