import { expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { startEventRelay } from "../support/log-events/event-relay.ts";
import { runExample, exampleKey as sdkKey } from "../support/sdks/example-process.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { revision } from "../support/upstream/revisions.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const localhost = (port: number) => `http://127.0.0.1:${port}`;

describeWith("node")("the examples of docs/active-mode.md while the relay is down", () => {
  test.each(["statsig-node-relay", "statsig-node-core-relay", "statsig-node-core-stream"])(
    "%s starts with defaults, loads the config when the relay is up, and keeps it when the relay is down again",
    async (name) => {
      const [httpPort, grpcPort] = [await freePort(), await freePort()];
      await using upstream = await startUpstream();
      upstream.publish(sdkKey, "v1", specV1(revision(sdkKey, 0)));
      upstream.publish(sdkKey, "v2", specV2(revision(sdkKey, 0)));
      const env = { RELAY_URL: localhost(httpPort), RELAY_GRPC_URL: localhost(grpcPort) };
      using example = runExample(name, { env });
      await example.shows("gate_public false");

      await using setup = await startEventRelay({ upstream, mode: "grpc-and-http", httpPort, grpcPort });
      await example.shows("gate_public true");

      await setup.relay.kill();
      const before = example.output().length;
      const since = () => example.output().slice(before);
      await eventually(() => expect(since().match(/gate_public true/g)?.length).toBeGreaterThan(6), {
        withinMs: 30_000,
      });
      expect(since()).not.toContain("gate_public false");
    },
    90_000,
  );

  test("statsig-node-core-stream falls back to HTTP for a config that is too large for its stream", async () => {
    await using setup = await startEventRelay({ mode: "grpc-and-http" });
    const spec = padTo(specV2(revision(sdkKey, 0)), 5_000_000);
    setup.upstream.publish(sdkKey, "v2", spec);
    const env = { RELAY_URL: setup.relay.httpUrl, RELAY_GRPC_URL: setup.relay.grpcUrl };
    using example = runExample("statsig-node-core-stream", { env });
    await example.shows("gate_public true");
    await eventually(() => expect(example.output()).toContain("too large for gRPC"));
  }, 60_000);
});
