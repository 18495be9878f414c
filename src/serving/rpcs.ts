import type { HealthWatch } from "../grpc/health-watch.ts";
import { type RpcRoutes, rpcRoutes } from "../grpc/routes.ts";
import { SpecService } from "../grpc/spec-service.ts";

interface RpcsOptions {
  readonly service: ConstructorParameters<typeof SpecService>[0];
  readonly health: HealthWatch;
}

/** The RPCs of a thread. */
export interface Rpcs {
  readonly specService: SpecService;
  readonly routes: RpcRoutes;
}

export function createRpcs({ service, health }: RpcsOptions): Rpcs {
  const specService = new SpecService(service);
  return { specService, routes: rpcRoutes({ specService, health }) };
}
