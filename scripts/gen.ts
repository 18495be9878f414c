// `npm run gen`: generates src/gen from proto/, the tables of options and metrics in docs/, the options in the Helm
// chart's schema, and the programs that docs show.
import { writeChartOptions } from "./gen/chart-options.ts";
import { writeConfigurationTables } from "./gen/configuration-tables.ts";
import { writeExampleSnippets } from "./gen/example-snippets.ts";
import { writeMetricTables } from "./gen/metric-tables.ts";
import { generateProtobuf } from "./gen/protobuf.ts";

if (!(await generateProtobuf())) process.exitCode = 1;
await writeMetricTables();
await writeConfigurationTables();
await writeChartOptions();
await writeExampleSnippets();
