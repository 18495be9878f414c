import { create } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ConnectRouterOptions,
  type ServiceImpl,
} from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import {
  Health,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from "../gen/grpc/health/v1/health_pb.ts";
import {
  type ConfigSpecResponse,
  ConfigSpecResponseSchema,
  StatsigForwardProxy,
} from "../gen/statsig_forward_proxy_pb.ts";
import { NO_UPDATE_JSON, type Snapshot } from "../specs/snapshot.ts";
import { reflectionRoutes } from "./reflection.ts";
import type { SpecService } from "./spec-service.ts";
import type { SpecItem } from "./spec-stream.ts";

/** Mounts every RPC of the relay, the same on every port. */
export type RpcRoutes = (router: ConnectRouter) => void;

interface RpcRoutesOptions {
  readonly specService: SpecService;
  /** What `grpc.health.v1` answers. */
  readonly isServing: () => boolean;
}

export function rpcRoutes({ specService, isServing }: RpcRoutesOptions): RpcRoutes {
  return (router) => {
    router.service(StatsigForwardProxy, specMessages(specService));
    router.service(Health, healthService(isServing));
    reflectionRoutes(router, [StatsigForwardProxy, Health]);
  };
}

/** The status with which calls end on shutdown: clients go to another replica. */
export function shuttingDown(): ConnectError {
  return new ConnectError("The relay is shutting down", Code.Unavailable);
}

/** Requests hold an SDK key and a number. */
export const MAX_REQUEST_BYTES = 64 * 1024;

/**
 * For every port. Answers are never compressed for a single client, since that takes seconds of CPU for a
 * large config spec; compressed requests are still read.
 */
export const CONNECT_OPTIONS = {
  readMaxBytes: MAX_REQUEST_BYTES,
  acceptCompression: [compressionGzip, compressionBrotli],
  compressMinBytes: 0xffffffff,
} as const satisfies ConnectRouterOptions;

const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;

/** The standard health service; `Watch` is left to answer UNIMPLEMENTED, as the protocol allows. */
function healthService(isServing: () => boolean): Pick<ServiceImpl<typeof Health>, "check"> {
  const known = new Set(["", StatsigForwardProxy.typeName]);
  return {
    check({ service }) {
      if (!known.has(service)) throw new ConnectError("unknown service", Code.NotFound);
      return create(HealthCheckResponseSchema, { status: isServing() ? SERVING : NOT_SERVING });
    },
  };
}

/** The service's answers as messages, which any protocol can carry. */
function specMessages(service: SpecService): ServiceImpl<typeof StatsigForwardProxy> {
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
