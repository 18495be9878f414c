import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ConfigSpecResponse,
  ConfigSpecResponseSchema,
  type StatsigForwardProxy,
} from "../gen/statsig_forward_proxy_pb.ts";
import { NO_UPDATE_JSON, type Snapshot } from "../specs/snapshot.ts";
import type { SpecService } from "./spec-service.ts";
import type { SpecItem } from "./spec-stream.ts";

/** The service's answers as messages, which any protocol can carry. */
export function specMessages(service: SpecService): ServiceImpl<typeof StatsigForwardProxy> {
  return {
    getConfigSpec: async (request, context) => messageOf(await service.answer(request, context)),
    async *streamConfigSpec(request, context) {
      for await (const item of service.stream(request, context)) yield messageOf(item);
    },
  };
}

/** The text of a snapshot is decoded once, and gone with it. */
const specMessageOf = new WeakMap<Snapshot, ConfigSpecResponse>();

function messageOf(item: SpecItem): ConfigSpecResponse {
  if (item.kind === "no_update") {
    return create(ConfigSpecResponseSchema, { spec: NO_UPDATE_JSON, lastUpdated: BigInt(item.lcut) });
  }
  const { snapshot } = item;
  let message = specMessageOf.get(snapshot);
  if (message === undefined) {
    const spec = new TextDecoder().decode(snapshot.bytes);
    message = create(ConfigSpecResponseSchema, { spec, lastUpdated: BigInt(snapshot.lcut) });
    specMessageOf.set(snapshot, message);
  }
  return message;
}
