// A stand-in for the original proxy, as a process of its own: it serves what upstream has, answers probes, holds the leader
// key and writes Redis as version 4 does. Its environment: STATSIG_ENDPOINT, REDIS_ENTERPRISE_PORT, STAND_IN_PORT, STAND_IN_KEY.
import { Redis } from "ioredis";
import { OriginalEntries } from "./original-entries.ts";

const LEADER_TTL_S = 70;

const { STATSIG_ENDPOINT, REDIS_ENTERPRISE_PORT, STAND_IN_PORT, STAND_IN_KEY = "" } = process.env;
const redis = { port: Number(REDIS_ENTERPRISE_PORT) };

const leader = new Redis({ host: "127.0.0.1", port: redis.port });
await leader.set("statsig_forward_proxy::leader", crypto.randomUUID(), "EX", LEADER_TTL_S, "NX");
leader.disconnect();

const entries = new OriginalEntries(redis, STAND_IN_KEY);
for (const version of ["v1", "v2"] as const) {
  const response = await fetch(`${STATSIG_ENDPOINT}/${version}/download_config_specs/${STAND_IN_KEY}.json`);
  const lcut = Number(response.headers.get("x-since-time"));
  await entries.write({ schema: "v4", version, lcut, config: await response.text() });
}

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(STAND_IN_PORT),
  fetch: async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/v1/ready") return new Response("OK");
    const { status, headers, body } = await fetch(`${STATSIG_ENDPOINT}${pathname}`);
    const lcut = headers.get("x-since-time") ?? "";
    return new Response(body, {
      status,
      headers: { "content-type": "application/json", "x-since-time": lcut },
    });
  },
});
console.log("serving");
