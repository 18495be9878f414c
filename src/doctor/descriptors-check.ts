import { connectionsAllowed, descriptorLimit, RESERVED_DESCRIPTORS } from "../limits/descriptors.ts";
import { type Check, failed, ok, warning } from "./check.ts";

/** Whether the process may have as many files and sockets open as its limits of connections say. */
export function descriptorsCheck(options: {
  readonly ports: number;
  readonly maxConnections: number;
}): Check {
  return {
    name: "file descriptors",
    run: async () => {
      const limit = descriptorLimit();
      const wanted = options.ports * options.maxConnections + RESERVED_DESCRIPTORS;
      const detail = `${limit} may be open, ${wanted} are wanted for --max-connections ${options.maxConnections} on ${options.ports} ports`;
      const mend = `allow more (ulimit -n ${wanted}; LimitNOFILE=${wanted} with systemd), or lower --max-connections`;
      switch (connectionsAllowed(options.maxConnections, options.ports, limit).kind) {
        case "as_wanted":
          return [ok(detail)];
        case "lowered":
          return [warning(detail, mend)];
        case "too_few":
          return [failed(detail, mend)];
      }
    },
  };
}
