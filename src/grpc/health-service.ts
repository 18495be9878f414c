import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from "../gen/grpc/health/v1/health_pb.ts";
import { StatsigForwardProxy } from "../gen/statsig_forward_proxy_pb.ts";

const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;

/** The standard health service; `Watch` is left to answer UNIMPLEMENTED, as the protocol allows. */
export function healthService(isServing: () => boolean): Pick<ServiceImpl<typeof Health>, "check"> {
  const known = new Set(["", StatsigForwardProxy.typeName]);
  return {
    check({ service }) {
      if (!known.has(service)) throw new ConnectError("unknown service", Code.NotFound);
      return create(HealthCheckResponseSchema, { status: isServing() ? SERVING : NOT_SERVING });
    },
  };
}
