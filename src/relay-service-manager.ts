import type { Config } from "./config.ts";
import type { ServiceManager, ServiceManagerPorts } from "./service-manager.ts";

/** Loaded where somebody wants to hear, and only there: it calls the C library. Says that the relay runs. */
export async function startServiceManager(
  { serviceManager }: Config,
  { running, ...ports }: ServiceManagerPorts & { readonly running: AsyncDisposableStack },
): Promise<ServiceManager | undefined> {
  if (serviceManager === undefined) return undefined;
  const { ServiceManager } = await import("./service-manager.ts");
  return running.use(new ServiceManager(serviceManager, ports));
}
