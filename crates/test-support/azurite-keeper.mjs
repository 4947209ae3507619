// Runs Azurite's blob service in this process, and ends with the test that started it.
//
//   node azurite-keeper.mjs FOLDER path/to/azurite/dist/src/blob/main.js [Azurite's own arguments]
//
// The test holds the other end of standard input and never writes to it: it closes when the test drops it,
// and also when the test ends in any other way, killed included. Then FOLDER, Azurite's, is removed. The wait
// for that runs on a thread of its own, since Azurite's may be busy for minutes.
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";

const [node, , folder, azurite, ...azuriteArguments] = process.argv;

const untilClosed = `
  const fs = require("node:fs");
  const { workerData: folder } = require("node:worker_threads");
  try {
    while (fs.readSync(0, Buffer.alloc(1)) > 0);
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  } finally {
    process.kill(process.pid, "SIGKILL");
  }
`;
new Worker(untilClosed, { eval: true, workerData: folder }).unref();

process.argv = [node, azurite, ...azuriteArguments];
createRequire(import.meta.url)(azurite);
