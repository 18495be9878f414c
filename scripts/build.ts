// `bun run build`: one executable with everything in it, dist/statsig-forward-proxy.
//   bun run build [--outfile <path>] [--target bun-linux-arm64]
import { dirname, join, relative } from "node:path";
import { parseArgs } from "node:util";
import type { Build, BunPlugin } from "bun";
import { root } from "./command.ts";

const src = join(root, "src");
const { values } = parseArgs({ options: { outfile: { type: "string" }, target: { type: "string" } } });
const outfile = values.outfile ?? join(root, "dist", "statsig-forward-proxy");

// In the executable every module's import.meta.url is that of its root, so that a Worker's relative URL would
// lack the folder of the module that starts it.
const workerUrl = /new URL\("(\.[^"]+-worker\.ts)", import\.meta\.url\)/g;
const workersFromRoot: BunPlugin = {
  name: "workers-from-root",
  setup(build) {
    build.onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => {
      const source = await Bun.file(path).text();
      const contents = source.replace(workerUrl, (_, worker: string) => {
        return `new URL("./${relative(src, join(dirname(path), worker))}", import.meta.url)`;
      });
      return { contents, loader: "ts" };
    });
  },
};

const workers = await Array.fromAsync(new Bun.Glob("**/*-worker.ts").scan({ cwd: src, absolute: true }));

const result = await Bun.build({
  // The bundler does not follow the URL of a Worker: each is an entry of its own.
  entrypoints: [join(src, "main.ts"), ...workers.sort()],
  root: src,
  minify: true,
  bytecode: true,
  format: "esm",
  plugins: [workersFromRoot],
  compile: {
    outfile,
    // The relay must not take settings, or code to preload, from whatever directory it is started in.
    autoloadDotenv: false,
    autoloadBunfig: false,
    ...(values.target === undefined ? {} : { target: values.target as Build.CompileTarget }),
  },
  throw: false,
});

for (const log of result.logs) console.error(String(log));
if (result.success) console.log(`built ${relative(process.cwd(), outfile)}`);
else process.exitCode = 1;
