import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from "../gen/grpc/health/v1/health_pb.ts";
import { toConnectError } from "./connect-error.ts";
import type { HealthWatch } from "./health-watch.ts";
import { streamSignal } from "./stream-ending.ts";

const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;

/**
 * The standard health service. It answers for any service name, as the original proxy does: probes were set up with names of all
 * kinds.
 */
export function healthService(health: HealthWatch): ServiceImpl<typeof Health> {
  return {
    check: async () => toResponse(await health.isServing()),
    async *watch(_, context: HandlerContext) {
      try {
        for await (const isServing of health.watch(streamSignal(context))) yield toResponse(isServing);
      } catch (error) {
        throw toConnectError(error);
      }
    },
  };
}

function toResponse(isServing: boolean): HealthCheckResponse {
  return create(HealthCheckResponseSchema, { status: isServing ? SERVING : NOT_SERVING });
}
