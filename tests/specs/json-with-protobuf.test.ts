import { expect, test } from "bun:test";
import { failed, version } from "../support/specs/scripted-source.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { POLL_INTERVAL_MS, specFlow } from "../support/specs/spec-flow.ts";

const proto = feedOf("secret-of-protobuf-clients", "v2", "proto");
const json = feedOf("secret-of-protobuf-clients", "v2", "json");

/** More than an interval with its jitter. */
const ONE_POLL_MS = 1.2 * POLL_INTERVAL_MS;

test("the JSON of a protobuf feed is fetched when the feed is first held, and then only when the feed has a newer version", async () => {
  await using flow = specFlow({ keepsJson: true });
  const { clock, source, store } = flow;
  await flow.cacheMiss(proto);
  await clock.advance(1);
  expect(store.peek(json)?.snapshot.lcut).toBe(1);
  await clock.advance(10 * POLL_INTERVAL_MS);
  expect(source.count(json)).toBe(1);
  expect(source.count(proto)).toBeGreaterThan(8);
  // It is as fresh as the protobuf.
  expect(store.peek(json)?.confirmedAt).toBeGreaterThan(clock.now() - 2 * ONE_POLL_MS);

  for (const feed of [proto, json]) source.answer(feed, version(2));
  await clock.advance(2 * ONE_POLL_MS);
  expect(store.peek(json)?.snapshot.lcut).toBe(2);
  expect(source.count(json)).toBe(2);
});

test("JSON is polled like any feed from when a client asks for it", async () => {
  await using flow = specFlow({ keepsJson: true });
  await flow.cacheMiss(proto);
  await flow.clock.advance(5 * POLL_INTERVAL_MS);
  expect(flow.source.count(json)).toBe(1);
  expect(flow.query.held(json.sdkKey, "v2", "json")?.snapshot.lcut).toBe(1);
  await flow.clock.advance(5 * ONE_POLL_MS);
  expect(flow.source.count(json)).toBeGreaterThan(4);
});

test("JSON that upstream does not send is requested again, ever more rarely", async () => {
  await using flow = specFlow({ keepsJson: true });
  flow.source.answer(json, failed("status"));
  await flow.cacheMiss(proto);
  await flow.clock.advance(60 * POLL_INTERVAL_MS);
  expect(flow.source.count(json)).toBeWithin(5, 20);
  flow.source.answer(json, version(1));
  await flow.clock.advance(10 * POLL_INTERVAL_MS);
  expect(flow.store.peek(json)?.snapshot.lcut).toBe(1);
});

test("JSON older than the protobuf is requested until it is as new", async () => {
  await using flow = specFlow({ keepsJson: true });
  flow.source.answer(proto, version(5));
  flow.source.answer(json, version(4));
  await flow.cacheMiss(proto);
  await flow.clock.advance(4 * ONE_POLL_MS);
  expect(flow.source.count(json)).toBeGreaterThan(2);
  flow.source.answer(json, version(5));
  await flow.clock.advance(ONE_POLL_MS);
  const requests = flow.source.count(json);
  await flow.clock.advance(5 * ONE_POLL_MS);
  expect(flow.source.count(json)).toBe(requests);
});

test("JSON is requested once more when the content of the protobuf changes under one lcut", async () => {
  await using flow = specFlow({ keepsJson: true });
  for (const feed of [proto, json]) flow.source.answer(feed, version(5, "a"));
  await flow.cacheMiss(proto);
  await flow.clock.advance(5 * POLL_INTERVAL_MS);
  expect(flow.source.count(json)).toBe(1);
  for (const feed of [proto, json]) flow.source.answer(feed, version(5, "b"));
  await flow.clock.advance(5 * ONE_POLL_MS);
  expect(flow.store.peek(json)?.snapshot.checksum).toBe("b");
  expect(flow.source.count(json)).toBe(2);
});

test("neither is polled once the SDK key is evicted", async () => {
  await using flow = specFlow({ keepsJson: true });
  await flow.cacheMiss(proto);
  await flow.clock.advance(1);
  flow.store.removeKey(proto.sdkKey, "evicted");
  flow.source.asked.length = 0;
  await flow.clock.advance(10 * POLL_INTERVAL_MS);
  expect(flow.source.asked).toEqual([]);
});

test("without a backup, JSON is fetched only for clients of JSON", async () => {
  await using flow = specFlow();
  await flow.cacheMiss(proto);
  await flow.clock.advance(5 * POLL_INTERVAL_MS);
  expect(flow.source.count(json)).toBe(0);
});
