// Judges recorded pairs of requests and answers against Azure's published contracts, with Azure's own validator.
//
//   node judge.js SPECS PAIRS        (oav is found in the working folder's node_modules)
//
// SPECS is the folder that holds `specification/`; PAIRS is a folder of .jsonl files, one pair a line:
// {liveRequest: {method, url, headers, body}, liveResponse: {statusCode, headers, body}}.
// Prints what was judged and what was left out, and why; exits with 1 when a pair breaks its contract, or when
// nothing was judged. Not `process.exit` at once: what is printed must be out first.
"use strict";

const fs = require("fs");
const path = require("path");
const oav = require(path.join(process.cwd(), "node_modules", "oav"));

// Paths of long-running operations are in no contract (nor are they to be: clients follow the header).
const STATUS = new RegExp(
  "/(replicationOperationStatus|operationStatus|operationsStatus|operationResults|operationresults|privateDnsOperationStatuses" +
    "|privateDnsOperationResults|operations|asyncoperations|DiskOperations)/[^/?]+(/result)?(\\?|$)",
);

// What the contracts cannot judge, each with its reason.
const EXCLUDED = [
  [STATUS, "status of a long-running operation"],
  [/Microsoft\.Network\/(virtualNetworks|networkInterfaces)/i, "the contracts given have only its types"],
  [/\/subscriptions\/[^/]+\/(locations|resourceGroups(\/[^/?]+)?)(\?|$)/i, "subscriptions and groups: not among the contracts given"],
  [/Microsoft\.Compute\/skus/i, "sizes: not among the contracts given"],
  [/Microsoft\.RecoveryServices\/vaults\/[^/]+\/privateEndpointConnections/i, "is in the contract of Backup, which is not given"],
];

// Where a contract or the validator is wrong, with the reason.
const MISTAKEN = [
  [/PATTERN.*Servers-(Discovery-ServerDiscovery|Migration-ServerMigration) at \/path\/solutionName/, "the contract allows 24 characters, the service's own solutions have more"],
  [/DISCRIMINATOR_VALUE_NOT_FOUND.*"HyperVVirtualMachine"/, "the validator does not find a kind that has kinds of its own"],
];

// The permissions on a resource have a path in the contract that names its parent too, which an account has not. They
// are judged as those of the resource group: the same operation, with the same answer.
const ACCOUNT = /\/providers\/Microsoft\.Storage\/storageAccounts\/[^/]+(?=\/providers\/Microsoft\.Authorization\/permissions\b)/i;

function asInContract(pair) {
  return { ...pair, liveRequest: { ...pair.liveRequest, url: pair.liveRequest.url.replace(ACCOUNT, "") } };
}

// The answer to a long-running request names where it is told of; the validator checks this for few services only.
function missingHeader(pair) {
  const { method } = pair.liveRequest;
  const { statusCode, headers } = pair.liveResponse;
  if (statusCode !== "202" || method === "GET") return [];
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  if (names.includes("azure-asyncoperation") || names.includes("location")) return [];
  return ["202 without Azure-AsyncOperation or Location"];
}

// Two paths of the private DNS contract match a link: …/virtualNetworkLinks/{name} and …/{recordType}/{name}. The
// validator cannot choose, so the record types are written out in a copy.
function withoutClash(specs, scratch) {
  fs.cpSync(path.join(specs, "specification"), path.join(scratch, "specification"), {
    recursive: true,
    filter: (source) => path.basename(source) !== "examples",
  });
  (function walk(folder) {
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      const file = path.join(folder, entry.name);
      if (entry.isDirectory()) walk(file);
      else if (entry.name === "privatedns.json") writeOut(file);
    }
  })(path.join(scratch, "specification"));
}

function writeOut(file) {
  const contract = JSON.parse(fs.readFileSync(file, "utf8").replace(/^\uFEFF/, ""));
  for (const [place, methods] of Object.entries(contract.paths)) {
    if (!place.includes("{recordType}")) continue;
    delete contract.paths[place];
    const copy = JSON.parse(JSON.stringify(methods));
    for (const operation of Object.values(copy)) {
      if (!operation.parameters) continue;
      operation.parameters = operation.parameters.filter((one) => one.name !== "recordType");
    }
    contract.paths[place.replace("{recordType}", "A")] = copy;
  }
  fs.writeFileSync(file, JSON.stringify(contract));
}

function read(folder) {
  const files = fs.readdirSync(folder).filter((name) => name.endsWith(".jsonl")).sort();
  return files.flatMap((name) =>
    fs.readFileSync(path.join(folder, name), "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line)),
  );
}

function complaints(half, result) {
  if (result.runtimeException) return [`${half}: ${result.runtimeException.code}: ${result.runtimeException.message}`];
  return (result.errors || []).map((error) => `${half}: ${error.code}: ${error.message} at ${(error.pathsInPayload || []).join(", ")}`);
}

function count(counts, what) {
  counts.set(what, (counts.get(what) || 0) + 1);
}

async function main() {
  const [specs, pairs] = process.argv.slice(2);
  const scratch = fs.mkdtempSync(path.join(process.cwd(), "contracts-"));
  try {
    withoutClash(path.resolve(specs), scratch);
    await judge(scratch, read(pairs));
  } finally {
    fs.rmSync(scratch, { recursive: true });
  }
}

async function judge(specs, pairs) {
  const validator = new oav.LiveValidator(
    {
      directory: specs,
      swaggerPathsPattern: ["/specification/**/*.json"],
      excludedSwaggerPathsPattern: ["**/examples/**"],
      isPathCaseSensitive: false,
      isArmCall: true,
      git: { shouldClone: false, url: "none" },
    },
    () => {},
  );
  await validator.initialize();
  await prove(validator);

  const [judged, requestsOnly, excluded, broken] = [new Map(), new Map(), new Map(), new Map()];
  for (const pair of pairs.map(asInContract)) {
    const { method, url } = pair.liveRequest;
    const place = url.replace("https://management.azure.com", "");
    const reason = EXCLUDED.find(([pattern]) => pattern.test(place));
    if (reason) {
      count(excluded, reason[1]);
      continue;
    }
    // A refusal's shape is not in most contracts, and it is often the request that was wrong, on purpose.
    const status = Number(pair.liveResponse.statusCode);
    if (status === 400 || status === 401) {
      count(excluded, `answered ${status}: the request was refused as wrong`);
      continue;
    }
    const { info } = validator.getOperationInfo(pair.liveRequest);
    const operation = `${info.operationId || "?"} ${info.apiVersion || "?"}`;
    const found = [];
    if (status > 400) {
      found.push(...complaints("request", await validator.validateLiveRequest(pair.liveRequest)));
      count(requestsOnly, `${operation}, answered ${status}`);
    } else {
      const verdict = await validator.validateLiveRequestResponse(pair);
      found.push(...complaints("request", verdict.requestValidationResult));
      found.push(...complaints("answer", verdict.responseValidationResult));
      found.push(...missingHeader(pair));
      count(judged, `${operation} ${status}`);
    }
    for (const complaint of found) {
      const mistake = MISTAKEN.find(([pattern]) => pattern.test(complaint));
      if (mistake) count(excluded, `one complaint: ${mistake[1]}`);
      else count(broken, `${method} ${operation} ${status}: ${complaint}`);
    }
  }

  print("judged, request and answer", judged);
  print("judged, request only: contracts list no such refusal", requestsOnly);
  print("left out", excluded);
  print("BROKEN", broken);
  const operations = new Set([...judged.keys()].map((key) => key.split(" ")[0]));
  const total = [...judged.values()].reduce((sum, times) => sum + times, 0);
  console.log(`${total} pairs of ${operations.size} operations judged, ${broken.size} kinds of violation`);
  process.exitCode = broken.size > 0 || total === 0 ? 1 : 0;
}

// A judge that finds fault with nothing is none: a machine to enable without disks must be refused.
async function prove(validator) {
  const vault = "/subscriptions/0/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v";
  const item = "replicationFabrics/f/replicationProtectionContainers/c/replicationMigrationItems/m";
  const broken = {
    method: "PUT",
    url: `https://management.azure.com${vault}/${item}?api-version=2024-04-01`,
    headers: { "content-type": "application/json", authorization: "Bearer left-out" },
    body: { properties: { policyId: "p", providerSpecificDetails: { instanceType: "VMwareCbt", vmwareMachineId: "m" } } },
  };
  const found = complaints("request", await validator.validateLiveRequest(broken)).join("\n");
  if (!found.includes("disksToInclude")) throw new Error(`the validator sees no missing disks: ${found || "nothing"}`);
}

function print(title, counts) {
  console.log(`${title}:`);
  for (const [what, times] of [...counts].sort()) console.log(`  ${times} × ${what}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
