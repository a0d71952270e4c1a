// Runs Node.js handlers on Lambda's Runtime API (version 2018-06-01), without dependencies.
//
//     node node-runtime.mjs app.handler
//
// Handlers may be async, or call back; CommonJS or ES modules; or wrapped in awslambda.streamifyResponse.
import http from "node:http";
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Writable } from "node:stream";

const api = new URL(`http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/`);
const root = process.env.LAMBDA_TASK_ROOT ?? process.cwd();
const env = process.env;

// One connection to ask on, one to answer on: a streamed answer may be under way while nothing else is.
const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
const STREAM = Symbol.for("rimward.lambda.streaming");
const PRELUDE_END = Buffer.alloc(8);
const INTEGRATION = "application/vnd.awslambda.http-integration-response";

function ask(method, where, headers = {}) {
  return http.request(new URL(where, api), { method, headers, agent });
}

// Sends all of `body`; gives status, headers and body of the answer.
function send(method, where, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const sized = body === undefined ? headers : { "content-length": Buffer.byteLength(body), ...headers };
    const request = ask(method, where, sized);
    request.setNoDelay(true);
    request.on("error", reject);
    request.on("response", (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => {
        resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) });
      });
    });
    request.end(body);
  });
}

function describe(error) {
  if (error instanceof Error || (error !== null && typeof error === "object" && "message" in error)) {
    const stack = typeof error.stack === "string" ? error.stack.split("\n") : [];
    return { errorType: error.name ?? "Error", errorMessage: String(error.message), trace: stack };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

function complain(where, error) {
  const described = describe(error);
  console.error(`${new Date().toISOString()}\tERROR\t${described.errorType}: ${described.errorMessage}`);
  for (const line of described.trace.slice(1)) console.error(line);
  return send("POST", where, JSON.stringify(described), {
    "content-type": "application/json",
    "lambda-runtime-function-error-type": described.errorType.replace(/[^\x21-\x7e]/g, "?") || "Error",
  });
}

class HttpResponseStream {
  // The status and headers go first, as JSON, then eight zero bytes, then the body.
  static from(stream, prelude) {
    stream.setContentType(INTEGRATION);
    stream._prelude = Buffer.concat([Buffer.from(JSON.stringify(prelude ?? {})), PRELUDE_END]);
    return stream;
  }
}

// What a streaming handler writes to. The request is made with the first byte, when the content type is known.
class ResponseStream extends Writable {
  constructor(id) {
    super({ highWaterMark: 64 * 1024 });
    this._id = id;
    this._type = "application/octet-stream";
    this._prelude = undefined;
    this.sent = new Promise((resolve, reject) => {
      this._resolve = resolve;
      this._reject = reject;
    });
    this.sent.catch(() => {});
  }

  setContentType(type) {
    this._type = type;
  }

  _open() {
    if (this._request) return;
    const request = ask("POST", `invocation/${this._id}/response`, {
      "content-type": this._type,
      "lambda-runtime-function-response-mode": "streaming",
      "transfer-encoding": "chunked",
      trailer: "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
    });
    request.setNoDelay(true);
    request.on("error", (error) => this._reject(error));
    request.on("response", (response) => {
      response.resume();
      response.on("end", () => this._resolve());
    });
    this._request = request;
    if (this._prelude) request.write(this._prelude);
  }

  _write(chunk, encoding, done) {
    this._open();
    const bytes = typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk;
    if (this._request.write(bytes)) done();
    else this._request.once("drain", () => done());
  }

  _final(done) {
    this._open();
    this._request.end();
    done();
  }

  // Whether anything is on its way, so that an error can only be told in the trailers.
  get begun() {
    return this._request !== undefined;
  }

  breakOff(error) {
    const described = describe(error);
    this._request.addTrailers({
      "Lambda-Runtime-Function-Error-Type": described.errorType.replace(/[^\x21-\x7e]/g, "?") || "Error",
      "Lambda-Runtime-Function-Error-Body": Buffer.from(JSON.stringify(described)).toString("base64"),
    });
    this._request.end();
    return this.sent;
  }
}

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAM] = options ?? {};
    return handler;
  },
  HttpResponseStream,
};

// "dir/app.handler.deep": the file dir/app, its export handler, that one's property deep.
async function load(name) {
  const folder = path.dirname(name);
  const [file, ...names] = path.basename(name).split(".");
  if (!file || names.length === 0) {
    throw Object.assign(new Error(`Bad handler '${name}'`), { name: "Runtime.MalformedHandlerName" });
  }
  const stem = path.resolve(root, folder, file);
  const found = [".js", ".mjs", ".cjs", ""].map((end) => stem + end).find((at) => fs.statSync(at, { throwIfNoEntry: false })?.isFile());
  let module;
  if (found?.endsWith(".mjs") || (found?.endsWith(".js") && isModule(found))) {
    module = await import(pathToFileURL(found));
  } else {
    try {
      module = createRequire(path.join(root, "x.js"))(found ?? stem);
    } catch (error) {
      // A package may export its handler; what a handler's own code misses is its own error.
      const missing = error?.code === "MODULE_NOT_FOUND" && found === undefined;
      const told = missing ? Object.assign(new Error(`Cannot find module '${file}'`), { name: "Runtime.ImportModuleError" }) : error;
      throw told;
    }
  }
  const pick = (from) => names.reduce((at, key) => at?.[key], from);
  const handler = pick(module) ?? pick(module.default);
  if (typeof handler !== "function") {
    throw Object.assign(new Error(`${name} is undefined or not exported`), { name: "Runtime.HandlerNotFound" });
  }
  return handler;
}

// Whether the nearest package.json makes .js files ES modules.
function isModule(file) {
  for (let dir = path.dirname(file); ; dir = path.dirname(dir)) {
    const at = path.join(dir, "package.json");
    if (fs.existsSync(at)) {
      try {
        return JSON.parse(fs.readFileSync(at, "utf8")).type === "module";
      } catch {
        return false;
      }
    }
    if (dir === path.dirname(dir)) return false;
  }
}

function contextOf(headers, deadline) {
  const client = headers["lambda-runtime-client-context"];
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: client === undefined ? undefined : JSON.parse(client),
    identity: undefined,
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
  };
}

// The handler's result: of its promise, its callback, or context.done, succeed and fail.
function run(handler, event, context) {
  return new Promise((resolve, reject) => {
    let outcome;
    // Nothing is left to do: Node says so before it would end.
    const idle = () => (outcome ?? (() => resolve(null)))();
    const settle = (how) => {
      outcome ??= () => {
        process.removeListener("beforeExit", idle);
        how();
      };
      return outcome;
    };
    const done = (error, result) => {
      if (error !== undefined && error !== null) settle(() => reject(error))();
      else if (context.callbackWaitsForEmptyEventLoop) settle(() => resolve(result));
      else settle(() => resolve(result))();
    };
    context.done = done;
    context.succeed = (result) => done(null, result);
    context.fail = (error) => done(error ?? new Error("handled"));
    process.once("beforeExit", idle);
    const result = handler(event, context, done);
    if (typeof result?.then === "function") {
      result.then(
        (value) => settle(() => resolve(value))(),
        (error) => settle(() => reject(error))(),
      );
    }
  });
}

async function stream(handler, event, context, id) {
  const out = new ResponseStream(id);
  const errored = new Promise((_, reject) => out.once("error", reject));
  errored.catch(() => {});
  try {
    await Promise.race([handler(event, out, context), errored]);
    if (!out.writableEnded) out.end();
    await out.sent;
  } catch (error) {
    if (out.begun) await out.breakOff(error);
    else await complain(`invocation/${id}/error`, error);
  }
}

async function main() {
  let handler;
  try {
    handler = await load(process.argv[2] ?? env._HANDLER ?? "");
  } catch (error) {
    await complain("init/error", error);
    process.exit(1);
  }
  let current;
  for (const event of ["uncaughtException", "unhandledRejection"]) {
    process.on(event, (error) => {
      const where = current === undefined ? "init/error" : `invocation/${current}/error`;
      complain(where, error).finally(() => process.exit(128));
    });
  }
  for (;;) {
    const next = await send("GET", "invocation/next");
    const id = next.headers["lambda-runtime-aws-request-id"];
    current = id;
    env._X_AMZN_TRACE_ID = next.headers["lambda-runtime-trace-id"] ?? "";
    const context = contextOf(next.headers, Number(next.headers["lambda-runtime-deadline-ms"]));
    const event = next.body.length === 0 ? {} : JSON.parse(next.body);
    if (handler[STREAM] !== undefined) {
      await stream(handler, event, context, id);
    } else {
      let body;
      try {
        body = JSON.stringify(await run(handler, event, context)) ?? "null";
      } catch (error) {
        await complain(`invocation/${id}/error`, error);
        current = undefined;
        continue;
      }
      await send("POST", `invocation/${id}/response`, body, { "content-type": "application/json" });
    }
    current = undefined;
  }
}

main().catch((error) => {
  // The environment is gone: there is nobody to tell.
  process.exit(error?.code === "ECONNRESET" || error?.code === "ECONNREFUSED" ? 0 : 1);
});
