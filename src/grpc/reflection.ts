import { createRegistry, type DescFile, type DescService, type Registry, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { ServerReflection, type ServerReflectionRequest } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  type ServerReflectionRequest as AlphaRequest,
  ServerReflection as ServerReflectionAlpha,
} from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";

type ReflectionRequest = ServerReflectionRequest["messageRequest"] | AlphaRequest["messageRequest"];

/** Mounts server reflection of the given services, so that grpcurl and other tools need no .proto files. */
export function reflectionRoutes(router: ConnectRouter, described: readonly DescService[]): void {
  const services = [...described, ServerReflection, ServerReflectionAlpha];
  const registry = createRegistry(...services.map((service) => service.file));
  async function* serverReflectionInfo<R extends { messageRequest: ReflectionRequest }>(
    requests: AsyncIterable<R>,
  ) {
    for await (const originalRequest of requests) {
      const messageResponse = respond(originalRequest.messageRequest, registry, services);
      yield { originalRequest, messageResponse };
    }
  }
  router.service(ServerReflection, { serverReflectionInfo });
  router.service(ServerReflectionAlpha, { serverReflectionInfo });
}

function respond(request: ReflectionRequest, registry: Registry, services: readonly DescService[]) {
  switch (request.case) {
    case "listServices":
      return listServices(services);
    case "fileByFilename":
      return describeFile(findFile(registry, request.value), request.value);
    case "fileContainingSymbol":
      return describeFile(findSymbol(registry, request.value), request.value);
    default:
      return errorResponse(Code.NotFound, "extensions are not supported");
  }
}

function listServices(services: readonly DescService[]) {
  const service = services.map(({ typeName }) => ({ name: typeName }));
  return { case: "listServicesResponse" as const, value: { service } };
}

function findFile(registry: Registry, name: string): DescFile | undefined {
  for (const type of registry) if (`${type.file.name}.proto` === name) return type.file;
  return undefined;
}

/** A symbol may be a service, message or enum, or a method, field or value inside of one. */
function findSymbol(registry: Registry, symbol: string): DescFile | undefined {
  const parent = symbol.slice(0, Math.max(0, symbol.lastIndexOf(".")));
  return (registry.get(symbol) ?? registry.get(parent))?.file;
}

function describeFile(file: DescFile | undefined, name: string) {
  if (file === undefined) return errorResponse(Code.NotFound, `not found: ${name.slice(0, 200)}`);
  const files = [file, ...file.dependencies];
  const fileDescriptorProto = files.map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse" as const, value: { fileDescriptorProto } };
}

function errorResponse(errorCode: Code, errorMessage: string) {
  return { case: "errorResponse" as const, value: { errorCode, errorMessage } };
}
