import { basename } from "node:path";

/**
 * Runs the program that `argv[0]` names, and resolves with its exit code. Under any other name the executable is the relay: resolves
 * with undefined. The image has links of these names, since pod specs written for the original's image run its `grpc-health-probe`,
 * and `sh` in a preStop hook. `print` writes a line to standard error.
 */
export async function runNamedProgram(
  argv0: string,
  argv: readonly string[],
  print: (line: string) => void,
): Promise<number | undefined> {
  switch (basename(argv0)) {
    case "grpc-health-probe":
    case "grpc_health_probe": {
      const { runGrpcHealthProbe } = await import("../doctor/grpc-health-probe.ts");
      return await runGrpcHealthProbe(argv, print);
    }
    case "sleep": {
      const { runSleep } = await import("./sleep.ts");
      return await runSleep(argv, print);
    }
    case "sh": {
      const { runShell } = await import("./sleep.ts");
      return await runShell(argv, print);
    }
    default:
      return undefined;
  }
}
