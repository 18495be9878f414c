// Opens streams with grpc-js over one connection, prints "open" when each has its first message, and keeps them open.
import { readFileSync } from "node:fs";
import { credentials } from "@grpc/grpc-js";
import { GrpcClient } from "./grpc-client.ts";

const [url = "", sdkKey = "", count = "1", caPath] = process.argv.slice(2);
const client = new GrpcClient(
  url,
  caPath === undefined ? credentials.createInsecure() : credentials.createSsl(readFileSync(caPath)),
);
const streams = Array.from({ length: Number(count) }, () => client.streamConfigSpec({ sdkKey, version: 2 }));
await Promise.all(streams.map((stream) => stream.next()));
console.log("open");
setInterval(() => {}, 60_000);
