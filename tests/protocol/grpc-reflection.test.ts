import { describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { Client, credentials } from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer, loadSync, type MethodDefinition } from "@grpc/proto-loader";
import { within } from "../support/common/wait.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";

const SERVICES = [
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  "statsig_forward_proxy.StatsigForwardProxy",
];
const NOT_FOUND = 5;

interface ReflectionResponse {
  readonly list_services_response?: { readonly service: readonly { readonly name: string }[] };
  readonly file_descriptor_response?: { readonly file_descriptor_proto: readonly Buffer[] };
  readonly error_response?: { readonly error_code: number };
}

const shared = shareRelay({ env: { STATSIG_ENDPOINT: "http://127.0.0.1:9" } });
const includeDirs = [fileURLToPath(new URL("../../proto", import.meta.url))];
const definition = loadSync(
  ["grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto"],
  {
    includeDirs,
    keepCase: true,
  },
);

/** Sends one request on its own stream. The stream must end when the client sends no more. */
async function reflect(version: string, question: object): Promise<ReflectionResponse> {
  const service = definition[`grpc.reflection.${version}.ServerReflection`];
  const method = (service as Record<string, MethodDefinition<object, object>>)["ServerReflectionInfo"];
  if (method === undefined) throw new Error(`no reflection ${version}`);
  const client = new Client(new URL(shared.relay.grpcUrl).host, credentials.createInsecure());
  try {
    const { path, requestSerialize, responseDeserialize } = method;
    const call = client.makeBidiStreamRequest<object, object>(path, requestSerialize, responseDeserialize);
    const answers: ReflectionResponse[] = [];
    const ended = new Promise<void>((resolve, reject) => {
      call.on("data", (answer: ReflectionResponse) => answers.push(answer));
      call.once("error", reject).once("end", resolve);
    });
    call.write(question);
    call.end();
    await within(ended, 5_000, "the end of the reflection stream");
    expect(answers).toHaveLength(1);
    return answers[0] ?? {};
  } finally {
    client.close();
  }
}

/** Encodes the response as a FileDescriptorSet, as tools do: field 1 for each file, with its length. */
function fileSet({ file_descriptor_response: response }: ReflectionResponse): Buffer {
  const parts = (response?.file_descriptor_proto ?? []).flatMap((file) => {
    const length: number[] = [];
    for (let rest = file.byteLength; ; rest >>= 7) {
      length.push(rest > 127 ? (rest & 127) | 128 : rest);
      if (rest <= 127) break;
    }
    return [Buffer.from([0x0a, ...length]), file];
  });
  return Buffer.concat(parts);
}

describe.each(["v1", "v1alpha"])("Reflection: server reflection %s", (version) => {
  test("lists the services", async () => {
    const { list_services_response: list } = await reflect(version, { list_services: "" });
    expect(list?.service.map(({ name }) => name).sort()).toEqual(SERVICES);
  });

  test.each([
    "statsig_forward_proxy.StatsigForwardProxy",
    "statsig_forward_proxy.StatsigForwardProxy.getConfigSpec",
    "statsig_forward_proxy.ConfigSpecRequest",
    "statsig_forward_proxy.ConfigSpecRequest.apiVersion",
  ])("returns the file of the symbol %s, with which a client can make calls", async (symbol) => {
    const loaded = loadFileDescriptorSetFromBuffer(
      fileSet(await reflect(version, { file_containing_symbol: symbol })),
      { keepCase: true },
    );
    const service = loaded["statsig_forward_proxy.StatsigForwardProxy"];
    expect(service).toMatchObject({
      getConfigSpec: {
        path: "/statsig_forward_proxy.StatsigForwardProxy/getConfigSpec",
        requestStream: false,
        responseStream: false,
      },
      StreamConfigSpec: {
        path: "/statsig_forward_proxy.StatsigForwardProxy/StreamConfigSpec",
        requestStream: false,
        responseStream: true,
      },
    });
    const { requestSerialize } =
      (service as Record<string, MethodDefinition<object, object>>)["getConfigSpec"] ?? {};
    const bytes = requestSerialize?.({ sdkKey: "k", version: "v2", zstdDictId: "d", sinceTime: 1 });
    expect(bytes?.toString("hex")).toBe("0a016b18022201646001");
  });

  test("returns a file by its name, also that of the health service", async () => {
    const byName = await reflect(version, { file_by_filename: "statsig_forward_proxy.proto" });
    expect(loadFileDescriptorSetFromBuffer(fileSet(byName))).toHaveProperty([SERVICES[3] ?? ""]);
    const health = await reflect(version, { file_containing_symbol: "grpc.health.v1.Health" });
    expect(loadFileDescriptorSetFromBuffer(fileSet(health))).toHaveProperty([SERVICES[0] ?? ""]);
  });

  test.each([
    ["file_containing_symbol", "no.such.Thing"],
    ["file_by_filename", "no-such.proto"],
  ])("returns NOT_FOUND for an unknown %s", async (question, value) => {
    const { error_response: error } = await reflect(version, { [question]: value });
    expect(error?.error_code).toBe(NOT_FOUND);
  });
});
