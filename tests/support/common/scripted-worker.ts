import { handleCalls } from "../../../src/platform/worker-calls.ts";

/** What the Worker does on a call. */
export type Command =
  | { readonly kind: "echo"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "throw" | "end" | "throw-later" | "reject-later" }
  | { readonly kind: "hang"; readonly ms: number };

handleCalls<Command, Uint8Array<ArrayBuffer>>(
  async (command) => {
    switch (command.kind) {
      case "echo":
        return command.bytes;
      case "throw":
        throw new Error("on purpose");
      case "end":
        process.exit(0);
        return new Uint8Array();
      case "throw-later":
        setTimeout(() => {
          throw new Error("later");
        }, 10);
        return new Uint8Array();
      case "reject-later":
        setTimeout(() => void Promise.reject(new Error("later")), 10);
        return new Uint8Array();
      case "hang":
        Bun.sleepSync(command.ms);
        return new Uint8Array();
    }
  },
  (bytes) => [bytes.buffer],
);
