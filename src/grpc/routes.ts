import type { ConnectRouter } from "@connectrpc/connect";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { StatsigForwardProxy } from "../gen/statsig_forward_proxy_pb.ts";
import { healthService } from "./health-service.ts";
import { reflectionRoutes } from "./reflection-service.ts";
import { specMessages } from "./spec-messages.ts";
import type { SpecService } from "./spec-service.ts";

export interface RpcRoutes {
  readonly specService: SpecService;
  /** What `grpc.health.v1` answers. */
  readonly isServing: () => boolean;
}

/** Every RPC of the relay, the same on every port. */
export function rpcRoutes({ specService, isServing }: RpcRoutes): (router: ConnectRouter) => void {
  return (router) => {
    router.service(StatsigForwardProxy, specMessages(specService));
    router.service(Health, healthService(isServing));
    reflectionRoutes(router, [StatsigForwardProxy, Health]);
  };
}
