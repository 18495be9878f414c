import type { HealthWatch } from "../grpc/health-watch.ts";
import { type RpcRoutes, rpcRoutes } from "../grpc/routes.ts";
import { SpecService } from "../grpc/spec-service.ts";
import { WebStreams } from "../grpc/web-streams.ts";
import type { StreamBodies } from "../streams/stream-bodies.ts";

interface RpcsOptions {
  readonly service: ConstructorParameters<typeof SpecService>[0];
  readonly health: HealthWatch;
  readonly bodies: StreamBodies;
}

/** The RPCs of a thread. */
export interface Rpcs {
  readonly specService: SpecService;
  readonly routes: RpcRoutes;
  readonly webStreams: WebStreams;
}

export function createRpcs({ service, health, bodies }: RpcsOptions): Rpcs {
  const specService = new SpecService(service);
  const webStreams = new WebStreams(specService, bodies);
  return { specService, routes: rpcRoutes({ specService, health }), webStreams };
}
