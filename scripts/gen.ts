// `npm run gen`: generates src/gen from proto/, the JSON Schema of /status.json, the OpenAPI documents, the tables of options and
// metrics and the message index in docs/, the options and alert rules of the Helm chart, and the programs that docs show.
import { writeChartAlerts } from "./gen/alert-rules.ts";
import { writeChartOptions } from "./gen/chart-options.ts";
import { writeConfigurationTables } from "./gen/configuration-tables.ts";
import { writeExampleSnippets } from "./gen/example-snippets.ts";
import { writeMessageIndex } from "./gen/message-index.ts";
import { writeMetricTables } from "./gen/metric-tables.ts";
import { writeOpenApi } from "./gen/openapi.ts";
import { generateProtobuf } from "./gen/protobuf.ts";
import { writeStatusSchema } from "./gen/status-schema.ts";

if (!(await generateProtobuf())) process.exitCode = 1;
await writeStatusSchema();
await writeOpenApi();
await writeMetricTables();
await writeConfigurationTables();
await writeChartOptions();
await writeChartAlerts();
await writeMessageIndex();
await writeExampleSnippets();
