import { expect, test } from "bun:test";
import { createConnectRouter } from "@connectrpc/connect";
import type { HealthWatch } from "../../src/grpc/health-watch.ts";
import { rpcRoutes } from "../../src/grpc/routes.ts";
import type { SpecService } from "../../src/grpc/spec-service.ts";
import { RPCS } from "../../src/http/routes/rpc.ts";

test("the RPCs of the HTTP ports are those of the gRPC port, all of them by POST", () => {
  const router = createConnectRouter({ grpc: false });
  rpcRoutes({ specService: {} as SpecService, health: {} as HealthWatch })(router);
  const served = router.handlers.map(({ requestPath, allowedMethods, method }) => {
    expect([...allowedMethods]).toEqual(["POST"]);
    return { path: requestPath, isUnary: method.methodKind === "unary" };
  });
  expect(served).toEqual([...RPCS]);
});
