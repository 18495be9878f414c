import { expect, test } from "bun:test";
import { freePort } from "../support/common/free-port.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { listed } from "../support/id-lists/id-list-upstream.ts";
import { type EventRelay, startEventRelay } from "../support/log-events/event-relay.ts";
import type { Certified } from "../support/relay/pki.ts";
import { ClientCertificates, tlsArgs } from "../support/relay/relay-with-tls.ts";
import { type ExampleProcess, runExample, exampleKey as sdkKey } from "../support/sdks/example-process.ts";
import { specV1, specV2 } from "../support/upstream/payloads.ts";
import { revision } from "../support/upstream/revisions.ts";

function publish({ upstream }: EventRelay, number: number): void {
  upstream.publish(sdkKey, "v1", specV1(revision(sdkKey, number)));
  upstream.publish(sdkKey, "v2", specV2(revision(sdkKey, number)));
}

const startRelay = async (...args: string[]): Promise<EventRelay> =>
  startEventRelay({ mode: "grpc-and-http", args: ["--management-port", String(await freePort()), ...args] });

async function openStreams({ relay }: EventRelay): Promise<number> {
  const response = await fetch(`${relay.urlOf("management")}/status.json`);
  return ((await response.json()) as { traffic: { streams: number } }).traffic.streams;
}

/** Waits for the first value, a change and an event at upstream. `streams` is the expected number of open streams. */
async function expectServed(setup: EventRelay, example: ExampleProcess, streams: number) {
  await example.shows("gate_public true");
  await eventually(async () => expect(await openStreams(setup)).toBe(streams));
  publish(setup, 1);
  await example.shows("gate_public false");
  expect(await example.stop()).toBe(0);
  await eventually(() => {
    const names = setup.forwarded(sdkKey).flatMap(({ events }) => events as { eventName: string }[]);
    expect(names.map(({ eventName }) => eventName)).toContain("example_started");
  });
}

describeWith("node")("the examples of docs/active-mode.md", () => {
  test.each([
    ["statsig-node-relay", 0],
    ["statsig-node-core-relay", 0],
    ["statsig-node-core-stream", 1],
  ])(
    "%s evaluates gates from the relay, follows a change, and sends events to upstream",
    async (name, streams) => {
      await using setup = await startRelay();
      publish(setup, 0);
      const env = { RELAY_URL: setup.relay.httpUrl, RELAY_GRPC_URL: setup.relay.grpcUrl };
      using example = runExample(name, { env });
      await expectServed(setup, example, streams);
    },
    90_000,
  );

  test.each(["statsig-node-relay", "statsig-node-core-relay"])(
    "%s evaluates a gate with an ID list, whose file upstream or the relay serves",
    async (name) => {
      for (const proxied of ["false", "true"]) {
        await using relay = await IdListRelay.start({ values: { "proxy-id-lists": proxied } });
        relay.upstream.put(sdkKey, "company_list", listed("user-1"));
        using example = runExample(name, { env: { RELAY_URL: relay.url }, gate: "gate_idlist" });
        await example.shows("gate_idlist true");
      }
    },
    90_000,
  );
});

describeWith("node", "openssl")("the example of docs/active-mode.md with certificates", () => {
  test("statsig-node-core-mtls presents its certificate, follows a change, and sends events to upstream", async () => {
    using pki = new ClientCertificates();
    await using setup = await startRelay(...tlsArgs(pki.authority.issue(), pki.authority.caPath));
    publish(setup, 0);
    const envOf = (client: Certified) => ({
      RELAY_URL: setup.relay.urlOf("https"),
      RELAY_GRPC_URL: setup.relay.urlOf("grpcs"),
      RELAY_CA: pki.authority.caPath,
      RELAY_CLIENT_CERT: client.certPath,
      RELAY_CLIENT_KEY: client.keyPath,
    });
    using untrusted = runExample("statsig-node-core-mtls", { env: envOf(pki.wrongCa) });
    await untrusted.shows("gate_public false");
    await eventually(() => expect(setup.relay.output()).toContain("TLS handshake failed"));
    expect(await openStreams(setup)).toBe(0);
    await untrusted.stop();

    using example = runExample("statsig-node-core-mtls", { env: envOf(pki.good) });
    await expectServed(setup, example, 1);
  }, 90_000);
});
