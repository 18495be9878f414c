// Runs one real Statsig SDK in Node and evaluates gates and configs on request: JSON lines on stdin and stdout.
// The first line is {sdk, sdkKey, options}; options.redisUrl selects the shipped example that reads Redis. The
// others are {id, ask: "gate" | "config" | "gateOfPod" | "all" | "fresh" | "syncIdLists" | "stop", name, userID}.
import { createInterface } from "node:readline";

const core = async (sdkKey, { redisUrl, ...options }) => {
  const { Statsig, StatsigUser } = (await import("@statsig/statsig-node-core")).default;
  const { createRedisDataStore } = await import("../../../examples/statsig-node-core-redis-store.mjs");
  const client = new Statsig(sdkKey, {
    ...options,
    ...(redisUrl && { dataStore: createRedisDataStore(redisUrl) }),
  });
  const { isSuccess, error } = await client.initialize();
  const user = (userID) => StatsigUser.withUserID(userID);
  const evaluateAll = (evaluator, userID) => {
    const asUser = new StatsigUser({ userID, email: userID, customIDs: { companyID: userID } });
    const response = evaluator.getClientInitializeResponse(asUser, { hashAlgorithm: "none" });
    // The first has the ID of the session, the other an environment that the SDK reads at its start only.
    const { sdkInfo, user, ...evaluated } = JSON.parse(response);
    return evaluated;
  };
  const about = ({ value, ruleID, details }) => ({
    value,
    ruleID,
    reason: details.reason,
    lcut: details.lcut,
  });
  return {
    initialised: { ok: isSuccess, error },
    gate: (name, userID) => about(client.getFeatureGate(user(userID), name)),
    config: (name, userID) => about(client.getDynamicConfig(user(userID), name)),
    gateOfPod: (name, podID) => about(client.getFeatureGate(new StatsigUser({ customIDs: { podID } }), name)),
    all: (_, userID) => evaluateAll(client, userID),
    // What a client evaluates that starts now, with another SDK key.
    fresh: async (name, userID) => {
      const fresh = new Statsig(name, options);
      await fresh.initialize();
      const evaluated = evaluateAll(fresh, userID);
      await fresh.shutdown(1_000);
      return evaluated;
    },
    // This SDK only syncs by itself, at the configured interval.
    syncIdLists: () => undefined,
    stop: () => client.shutdown(10_000),
  };
};

const legacy = async (sdkKey, { redisUrl, ...options }) => {
  const { default: statsig } = await import("statsig-node");
  const { RedisDataAdapter } = await import("../../../examples/statsig-node-redis-adapter.mjs");
  const { success, error } = await statsig.initialize(sdkKey, {
    ...options,
    ...(redisUrl && { dataAdapter: new RedisDataAdapter(redisUrl) }),
  });
  const about = (value, ruleID, details) => ({
    value,
    ruleID,
    reason: details?.reason,
    lcut: details?.configSyncTime,
  });
  return {
    initialised: { ok: success, error: error?.message },
    gate: (name, userID) => {
      const gate = statsig.getFeatureGateSync({ userID }, name);
      return about(gate.value, gate.ruleID, gate.evaluationDetails);
    },
    config: (name, userID) => {
      const config = statsig.getConfigSync({ userID }, name);
      return about(config.value, config.getRuleID(), config.getEvaluationDetails());
    },
    syncIdLists: () => statsig.syncIdLists(),
    stop: () => statsig.shutdown(10_000),
  };
};

const reply = (message) => process.stdout.write(`\u001e${JSON.stringify(message)}\n`);

let client;
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (client === undefined) {
    client = await (request.sdk === "core" ? core : legacy)(request.sdkKey, request.options);
    reply({ id: 0, result: client.initialised });
  } else if (request.ask === "stop") {
    await client.stop();
    break;
  } else {
    reply({ id: request.id, result: await client[request.ask](request.name, request.userID) });
  }
}
process.exit(0);
