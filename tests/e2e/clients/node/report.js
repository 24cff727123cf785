// Prints the features of a client line by line: `ok <feature>`, or `no <feature>: why` if the client itself does not
// support it, and `fine` at the end. A failed check is printed to standard error, and the exit code is then 1.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

/** The error of a check if the client does not support a feature with any server. */
export class Limit extends Error {}

/** The time limit of one check, because a client that waits forever must not block the tests. */
const PATIENCE_MS = 120_000;

/** The flags, as in the Go programs. */
export const settings = parseArgs({
  options: Object.fromEntries(
    ["url", "user", "password", "anonymous", "token", "token-user", "tls", "ca", "only"].map((name) => [
      name,
      { type: "string", default: name === "token-user" ? "token" : "" },
    ]),
  ),
}).values;

/** Returns host and port of `grpc+tcp://host:port`. */
export function address(url) {
  const { hostname, port } = new URL(url.replace(/^[a-z+]+:/, "http:"));
  return { host: hostname, port: Number(port) };
}

export function expect(holds, wanted, got) {
  if (!holds) throw new Error(`expected ${wanted}, got ${typeof got === "string" ? got : JSON.stringify(got)}`);
}

/** Checks that a promise fails, and that the message contains the texts. */
export async function fails(promise, ...texts) {
  const message = await promise.then(
    () => undefined,
    (error) => String(error?.message ?? error),
  );
  expect(message !== undefined, "an error", "none");
  for (const text of texts) expect(message.includes(text), text, message);
  return message;
}

/** Reports a failure with one of these texts as a limit of the client, and any other failure as such. */
export async function beyond(reason, text, promise) {
  try {
    return await promise;
  } catch (error) {
    throw String(error?.message ?? error).includes(text) ? new Limit(reason) : error;
  }
}

/** Runs the checks, pairs of a feature and a function, and ends the program. */
export async function run(name, checks) {
  const version = JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
  console.log(`client ${name} ${version}`);
  const only = settings.only ? settings.only.split(",") : undefined;
  let failed = false;
  for (const [feature, check] of checks) {
    if (only && !only.includes(feature)) continue;
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no end after ${PATIENCE_MS} ms`)), PATIENCE_MS);
    });
    try {
      await Promise.race([check(), late]);
      console.log(`ok ${feature}`);
    } catch (error) {
      if (error instanceof Limit) {
        console.log(`no ${feature}: ${error.message}`);
      } else {
        failed = true;
        console.error(`failed ${feature}: ${error?.stack ?? error}`);
      }
    } finally {
      clearTimeout(timer);
    }
  }
  if (!failed) console.log("fine");
  process.exit(failed ? 1 : 0);
}
