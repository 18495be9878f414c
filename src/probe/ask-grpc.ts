import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus } from "../gen/grpc/health/v1/health_pb.ts";
import { type Answer, answerOf } from "./answer.ts";

const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;

/** Asks `grpc.health.v1`; as for HTTP, certificates are not looked at. */
export async function askGrpc(baseUrl: string, signal: AbortSignal): Promise<Answer> {
  try {
    const transport = createGrpcTransport({ baseUrl, nodeOptions: { rejectUnauthorized: false } });
    const { status } = await createClient(Health, transport).check({ service: "" }, { signal });
    if (status === SERVING) return { kind: "ready" };
    const shown = status === NOT_SERVING ? "NOT_SERVING" : String(status);
    return { kind: "not_ready", reason: `grpc.health.v1 says ${shown}` };
  } catch (error) {
    const told = ConnectError.from(error);
    return signal.aborted ? answerOf(signal.reason) : answerOf(told.cause ?? new Error(told.rawMessage));
  }
}
