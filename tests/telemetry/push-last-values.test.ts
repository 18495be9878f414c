import { expect, test } from "bun:test";
import { rawGet } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { sumOf } from "../support/telemetry/statsd-lines.ts";
import { UdpListener } from "../support/telemetry/udp-listener.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

describeWith("redis-server")("the last values of a relay", () => {
  test("are sent even if a Redis that hangs has used up the shutdown grace period", async () => {
    using agent = await UdpListener.start();
    await using redis = await RedisServer.start();
    await using upstream = await startUpstream();
    const { sdkKey } = publishKey(upstream, "secret-measured");
    await using relay = await startRelayProcess({
      ...{ upstream, mode: "http", cache: "redis" },
      args: ["--statsd-logging", "--shutdown-grace-in-s", "1"],
      env: {
        DATADOG_MAX_BATCH_TIME_MS: "600000",
        STATSD_PORT_OVERRIDE: String(agent.port),
        REDIS_ENTERPRISE_HOST: "127.0.0.1",
        REDIS_ENTERPRISE_PORT: String(redis.port),
      },
    });
    const url = `${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`;
    for (let i = 0; i < 5; i++) expect((await rawGet(url)).status).toBe(200);
    redis.hang();
    expect(await relay.stop()).toBe(0);
    await eventually(() => expect(sumOf(agent.datagrams, "HttpServerRequestSuccess.count")).toBe(5), {
      withinMs: 15_000,
    });
  });
});
