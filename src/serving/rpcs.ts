import { type RpcRoutes, rpcRoutes } from "../grpc/routes.ts";
import { SpecService } from "../grpc/spec-service.ts";

interface RpcsOptions {
  readonly service: ConstructorParameters<typeof SpecService>[0];
  /** The result of `grpc.health.v1` checks. */
  readonly isServing: () => Promise<boolean>;
}

/** The RPCs of a thread. */
export interface Rpcs {
  readonly specService: SpecService;
  readonly routes: RpcRoutes;
}

export function createRpcs({ service, isServing }: RpcsOptions): Rpcs {
  const specService = new SpecService(service);
  return { specService, routes: rpcRoutes({ specService, isServing }) };
}
