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
import { StatsigForwardProxy } from "../gen/statsig_forward_proxy_pb.ts";
import { messageService } from "./message-service.ts";
import { reflectionRoutes } from "./reflection.ts";
import type { SpecService } from "./spec-service.ts";

/** Mounts every RPC of the relay. The RPCs are the same on every port. */
export type RpcRoutes = (router: ConnectRouter) => void;

interface RpcRoutesOptions {
  readonly specService: SpecService;
  /** The result of `grpc.health.v1` checks. */
  readonly isServing: () => Promise<boolean>;
}

export function rpcRoutes({ specService, isServing }: RpcRoutesOptions): RpcRoutes {
  return (router) => {
    router.service(StatsigForwardProxy, messageService(specService));
    router.service(Health, healthService(isServing));
    reflectionRoutes(router, [StatsigForwardProxy, Health]);
  };
}

export const SHUTTING_DOWN = "The relay is shutting down";

/** Returns the error that ends calls on shutdown. Clients then go to another replica. */
export function shutdownError(): ConnectError {
  return new ConnectError(SHUTTING_DOWN, Code.Unavailable);
}

/** The largest request message. Requests hold an SDK key and a number. */
export const MAX_REQUEST_BYTES = 64 * 1024;

/**
 * The Connect options of every port. Responses are never compressed, since compressing a large config spec for each client
 * would take seconds of CPU. Compressed requests are read.
 */
export const CONNECT_OPTIONS = {
  readMaxBytes: MAX_REQUEST_BYTES,
  acceptCompression: [compressionGzip, compressionBrotli],
  compressMinBytes: 0xffffffff,
} as const satisfies ConnectRouterOptions;

const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;

/**
 * The standard health service. It answers for any service name, as the original proxy does: probes were set up with names of all
 * kinds. `Watch` is UNIMPLEMENTED, which the protocol allows.
 */
function healthService(isServing: () => Promise<boolean>): Pick<ServiceImpl<typeof Health>, "check"> {
  return {
    check: async () =>
      create(HealthCheckResponseSchema, { status: (await isServing()) ? SERVING : NOT_SERVING }),
  };
}
