import type { ConnectError, ConnectRouter, ConnectRouterOptions } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { StatsigForwardProxy } from "../gen/statsig_forward_proxy_pb.ts";
import { shuttingDown } from "../streams/status-error.ts";
import { toConnectError } from "./connect-error.ts";
import { healthService } from "./health-service.ts";
import type { HealthWatch } from "./health-watch.ts";
import { messageService } from "./message-service.ts";
import { reflectionRoutes } from "./reflection.ts";
import { MAX_REQUEST_BYTES } from "./request-envelope.ts";
import type { SpecService } from "./spec-service.ts";

/** Mounts every RPC of the relay. The RPCs are the same on every port. */
export type RpcRoutes = (router: ConnectRouter) => void;

interface RpcRoutesOptions {
  readonly specService: SpecService;
  readonly health: HealthWatch;
}

export function rpcRoutes({ specService, health }: RpcRoutesOptions): RpcRoutes {
  return (router) => {
    router.service(StatsigForwardProxy, messageService(specService));
    router.service(Health, healthService(health));
    reflectionRoutes(router, [StatsigForwardProxy, Health]);
  };
}

/** Returns the error that ends calls on shutdown. Clients then go to another replica. */
export function shutdownError(): ConnectError {
  return toConnectError(shuttingDown());
}

/**
 * The Connect options of every port. Responses are never compressed, since compressing a large config spec for each client
 * would take seconds of CPU. Compressed requests are read.
 */
export const CONNECT_OPTIONS = {
  readMaxBytes: MAX_REQUEST_BYTES,
  acceptCompression: [compressionGzip, compressionBrotli],
  compressMinBytes: 0xffffffff,
} as const satisfies ConnectRouterOptions;
