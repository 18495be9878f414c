import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { StatsigForwardProxy } from "../gen/statsig_forward_proxy_pb.ts";
import { healthService } from "./health-service.ts";
import { reflectionRoutes } from "./reflection-service.ts";
import { specMessages } from "./spec-messages.ts";
import type { SpecService } from "./spec-service.ts";

/** Mounts every RPC of the relay, the same on every port. */
export type RpcRoutes = (router: ConnectRouter) => void;

export interface RpcRoutesOptions {
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
