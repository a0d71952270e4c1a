// The engine: one QuickJS context that is filled while the snapshot is made, and one call at a time after that.
//
// `init` takes the bundle, evaluates it and says what it found as JSON. `handle` takes AWS's event as JSON and gives the handler's
// result as JSON. Everything that is not on the way of an ordinary call is JavaScript: node/boot.js.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine.h"

// Of the C stack (see build.sh), for JavaScript; the rest is for what C does when that is used up.
#define STACK (384 << 10)
// What one call may allocate beyond the snapshot before garbage is collected; a fresh instance never gets there.
#define GARBAGE (8 << 20)

JSRuntime *rt;
JSContext *ctx;
JSValue async_store = JS_UNDEFINED;

static JSValue handler = JS_UNDEFINED, boot = JS_UNDEFINED, tick, rest, describe, load_now, context_proto, request_proto, settle_thenable;
static JSAtom a_request, a_then;
// alone: the handler takes the event and nothing more.
static bool cloudfront, alone, loaded, reseeded;

// The call in hand. `settled`: a first result is there, and nothing that comes later counts.
static uint32_t serial;
static bool settled, failed;
// Its CPU time is used up, and it was told.
static bool told_over, describing;
// How many calls and turns of loops are between two questions whether its time is up; while a place is looked for that says where it is: none.
enum { POLLS_APART = 10000 };
int polls_apart = POLLS_APART;
// How often it was let go on to such a place, and may be.
static int moved;
enum { MOVES = 1000, OWN_LEVELS = 32 };
static JSValue result = JS_UNDEFINED, origin = JS_UNDEFINED, rejected = JS_UNDEFINED, lambda_context = JS_UNDEFINED;
static const char *context_text;
static size_t context_len;

static void keep(JSValue *slot, JSValue v) {
  JSValue old = *slot;
  *slot = v;
  JS_FreeValue(ctx, old);
}

// A first result stands, unless what came after it took too long.
static void settle(bool bad, JSValue v) {
  if (settled && !(bad && told_over)) {
    JS_FreeValue(ctx, v);
    return;
  }
  settled = true, failed = bad;
  keep(&result, v);
}

// --- what JavaScript may ask of C

static JSValue js_call(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  size_t op_len, len, out_len;
  uint8_t *out;
  const char *op = JS_ToCStringLen(ctx, &op_len, argv[0]), *text = NULL;
  if (!op) return JS_EXCEPTION;
  const uint8_t *payload = (const uint8_t *)"";
  len = 0;
  if (argc > 1 && JS_IsString(argv[1])) payload = (const uint8_t *)(text = JS_ToCStringLen(ctx, &len, argv[1]));
  else if (argc > 1 && !JS_IsUndefined(argv[1])) payload = JS_GetUint8Array(ctx, &len, argv[1]);
  if (!payload) {
    JS_FreeCString(ctx, op);
    return JS_EXCEPTION;
  }
  bool ok = host_call(op, op_len, payload, len, &out, &out_len);
  JSValue v;
  if (!ok) v = JS_ThrowPlainError(ctx, "%.*s", (int)(out_len < 400 ? out_len : 400), (const char *)out);
  else v = argc > 2 && JS_ToBool(ctx, argv[2]) ? JS_NewUint8ArrayCopy(ctx, out, out_len) : JS_NewStringLen(ctx, (const char *)out, out_len);
  free(out);
  if (text) JS_FreeCString(ctx, text);
  JS_FreeCString(ctx, op);
  return v;
}

static JSValue js_context(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  return JS_NewStringLen(ctx, context_text ? context_text : "{}", context_text ? context_len : 2);
}

static JSValue js_origin(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  keep(&origin, JS_DupValue(ctx, argv[0]));
  return JS_UNDEFINED;
}

// finish(error, value): what `callback` and `context.done` do. A call that is over is not changed.
static JSValue js_finish(JSContext *c, JSValueConst this, int argc, JSValueConst *argv, int magic, JSValueConst *data) {
  uint32_t mine = 0;
  JS_ToUint32(ctx, &mine, data[0]);
  if (mine != serial) return JS_UNDEFINED;
  bool bad = argc > 0 && !JS_IsNull(argv[0]) && !JS_IsUndefined(argv[0]);
  settle(bad, bad ? JS_DupValue(ctx, argv[0]) : argc > 1 ? JS_DupValue(ctx, argv[1]) : JS_NULL);
  return JS_UNDEFINED;
}

static JSValue js_store(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) { return JS_DupValue(ctx, async_store); }

// enter(store): from here on, and in what is asked for from here on.
static JSValue js_enter(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  keep(&async_store, JS_DupValue(ctx, argv[0]));
  return JS_UNDEFINED;
}

static JSValue js_building(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) { return JS_NewBool(ctx, building); }

// needsHost(what): the top level asked for something that only a call has.
static JSValue js_needs_host(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  const char *what = JS_ToCString(ctx, argv[0]);
  if (building && what && !needs_host[0]) snprintf(needs_host, sizeof needs_host, "%s", what);
  JS_FreeCString(ctx, what);
  return JS_UNDEFINED;
}

// --- randomness: xoshiro256++ of our own, because a snapshot freezes the engine's

static uint64_t state[4];

static uint64_t rotate(uint64_t x, int k) { return x << k | x >> (64 - k); }

static void reseed(void) {
  uint8_t count[4] = {32, 0, 0, 0}, *out = NULL;
  size_t len = 0;
  reseeded = true;
  if (!building && host_call("crypto.random", 13, count, 4, &out, &len) && len == 32) memcpy(state, out, 32);
  else state[0] = 0x9E3779B97F4A7C15u, state[1] = 1, state[2] = 2, state[3] = 3;
  free(out);
}

static JSValue js_random(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  if (!reseeded) reseed();
  uint64_t r = rotate(state[0] + state[3], 23) + state[0], t = state[1] << 17;
  state[2] ^= state[0], state[3] ^= state[1], state[1] ^= state[2], state[0] ^= state[3], state[2] ^= t, state[3] = rotate(state[3], 45);
  return JS_NewFloat64(ctx, (double)(r >> 11) * 0x1p-53);
}

// --- promises that nobody listens to

static void on_rejection(JSContext *c, JSValueConst promise, JSValueConst reason, bool handled, void *opaque) {
  if (handled) {
    JSValue held = JS_IsUndefined(rejected) ? JS_UNDEFINED : JS_GetPropertyUint32(ctx, rejected, 0);
    bool same = JS_IsStrictEqual(ctx, held, promise);
    JS_FreeValue(ctx, held);
    if (same) keep(&rejected, JS_UNDEFINED);
  } else if (JS_IsUndefined(rejected)) {
    JSValue pair[2] = {JS_DupValue(ctx, promise), JS_DupValue(ctx, reason)};
    keep(&rejected, JS_NewArrayFrom(ctx, 2, pair));
  }
}

// --- the end of a call that takes too long

// Whether the stack has a frame of the function's own code.
static bool in_own_code(void) {
  bool own = false;
  for (int level = 0; level < OWN_LEVELS && !own; level++) {
    JSAtom file = JS_GetScriptOrModuleName(ctx, level);
    if (file == JS_ATOM_NULL) continue; // C, or no frame
    const char *name = JS_AtomToCString(ctx, file);
    own = name && strncmp(name, "node:", 5) != 0;
    JS_FreeCString(ctx, name);
    JS_FreeAtom(ctx, file);
  }
  return own;
}

// Asked now and then while JavaScript runs. Once the budget is used up it throws, past every `catch`: the stack says where. And again, where
// what was thrown got lost, until the error is described. Between jobs, and in the loop's own code, a stack would say nothing: it goes on
// into the function's.
static int is_over(JSRuntime *r, void *opaque) {
  if (building || describing) return 0;
  if (!told_over) {
    uint8_t *out = NULL;
    size_t len = 0;
    bool known = host_call("call.over", 9, NULL, 0, &out, &len);
    told_over = known && len == 4; // "true"
    free(out);
    if (!told_over) return 0;
    moved = 0;
  }
  bool elsewhere = moved < MOVES && !in_own_code();
  polls_apart = elsewhere ? 1 : POLLS_APART;
  moved += elsewhere;
  return !elsewhere;
}

// --- the loop

static bool run_jobs(void) {
  JSContext *c;
  int r;
  while ((r = JS_ExecutePendingJob(rt, &c)) > 0) {}
  if (r < 0) settle(true, JS_GetException(ctx));
  return r >= 0;
}

// Lets timers and requests go on; false when nothing is left to wait for.
static bool advance(void) {
  JSValue v = JS_Call(ctx, tick, JS_UNDEFINED, 0, NULL);
  if (JS_IsException(v)) {
    settle(true, JS_GetException(ctx));
    return false;
  }
  bool more = JS_ToBool(ctx, v);
  JS_FreeValue(ctx, v);
  return more;
}

static void fail_with(const char *type, const char *message) {
  JSValue e = JS_NewError(ctx);
  JS_SetPropertyStr(ctx, e, "name", JS_NewString(ctx, type));
  JS_DefinePropertyValueStr(ctx, e, "message", JS_NewString(ctx, message), JS_PROP_C_W_E);
  JS_DefinePropertyValueStr(ctx, e, "stack", JS_NewString(ctx, ""), JS_PROP_C_W_E);
  settle(true, e);
}

static void take_promise(JSValueConst promise) {
  switch (JS_PromiseState(ctx, promise)) {
  case JS_PROMISE_FULFILLED: settle(false, JS_PromiseResult(ctx, promise)); break;
  case JS_PROMISE_REJECTED: settle(true, JS_PromiseResult(ctx, promise)); break;
  default: break;
  }
}

// Requests and timers that a handler left behind when it called back: Lambda lets them finish, unless told not to.
static void finish_rest(void) {
  JSValue wait = JS_IsObject(lambda_context) ? JS_GetPropertyStr(ctx, lambda_context, "callbackWaitsForEmptyEventLoop") : JS_TRUE;
  if (JS_IsException(wait)) settle(true, JS_GetException(ctx));
  bool more = JS_ToBool(ctx, wait) > 0;
  JS_FreeValue(ctx, wait);
  while (more && run_jobs()) {
    JSValue v = JS_Call(ctx, rest, JS_UNDEFINED, 0, NULL);
    if (JS_IsException(v)) settle(true, JS_GetException(ctx));
    more = JS_ToBool(ctx, v) > 0;
    JS_FreeValue(ctx, v);
  }
}

// Until there is a result. `answer` is what the handler returned.
static void drive(JSValueConst answer, bool promise) {
  for (;;) {
    if (!run_jobs()) return;
    if (promise) take_promise(answer);
    if (settled) break;
    if (!JS_IsUndefined(rejected)) {
      settle(true, JS_GetPropertyUint32(ctx, rejected, 1));
      return;
    }
    if (!advance()) {
      if (settled || JS_IsJobPending(rt)) continue;
      if (promise) fail_with("Runtime.NeverSettles", "the handler's promise never settles: nothing is left to wait for");
      // Lambda takes nothing from a handler that is neither async nor calls back.
      else settle(false, JS_IsUndefined(answer) || (bundle.strict && !cloudfront) ? JS_NULL : JS_DupValue(ctx, answer));
      return;
    }
  }
}

static JSValue to_promise(JSValue v) {
  if (!JS_IsObject(v) || JS_IsPromise(v)) return v;
  JSValue then = JS_GetProperty(ctx, v, a_then);
  if (JS_IsException(then)) {
    JS_FreeValue(ctx, v);
    return then;
  }
  bool thenable = JS_IsFunction(ctx, then);
  JS_FreeValue(ctx, then);
  if (!thenable) return v;
  JSValue p = JS_Call(ctx, settle_thenable, JS_UNDEFINED, 1, &v);
  JS_FreeValue(ctx, v);
  return p;
}

static JSValue call_cloudfront(JSValue event) {
  JSValue request = JS_GetProperty(ctx, event, a_request);
  if (JS_IsObject(request)) JS_SetPrototype(ctx, request, request_proto);
  JS_FreeValue(ctx, request);
  return JS_Call(ctx, handler, JS_UNDEFINED, 1, &event);
}

static JSValue call_lambda(JSValue event) {
  JSValue id = JS_NewUint32(ctx, serial), args[3] = {event, JS_UNDEFINED, JS_UNDEFINED}, v;
  args[2] = JS_NewCFunctionData(ctx, js_finish, 2, 0, 1, &id);
  if (!alone) {
    args[1] = json_read(context_text, context_len);
    if (JS_IsException(args[1])) return args[1];
    JS_SetPrototype(ctx, args[1], context_proto);
    JS_DefinePropertyValueStr(ctx, args[1], "done", JS_DupValue(ctx, args[2]), JS_PROP_C_W_E);
  }
  v = JS_Call(ctx, handler, JS_UNDEFINED, 3, args);
  keep(&lambda_context, args[1]);
  JS_FreeValue(ctx, args[2]);
  return v;
}

static void run(const char *event, size_t len) {
  JSValue parsed = json_read(event, len);
  if (JS_IsException(parsed)) {
    settle(true, JS_GetException(ctx));
    return;
  }
  JSValue answer = to_promise(cloudfront ? call_cloudfront(parsed) : call_lambda(parsed));
  if (JS_IsException(answer)) settle(true, JS_GetException(ctx));
  else {
    drive(answer, JS_IsPromise(answer));
    if (!failed && !JS_IsPromise(answer)) finish_rest();
  }
  JS_FreeValue(ctx, answer);
  JS_FreeValue(ctx, parsed);
}

// --- what goes back: pointer and length of text that lives until the next call

static struct {
  uint8_t failed;
  const char *text;
  size_t len;
  const char *needs; // after `init` only
} area;
static const char *out_string;

static void give_string(bool bad, JSValue v) {
  out_string = JS_ToCStringLen(ctx, &area.len, v);
  JS_FreeValue(ctx, v);
  area.failed = bad;
  area.text = out_string ? out_string : "{\"errorType\":\"InternalError\",\"errorMessage\":\"out of memory\",\"stackTrace\":[]}";
  if (!out_string) area.failed = true, area.len = strlen(area.text);
}

static void give_error(JSValue error) {
  describing = true;
  JSValue v = JS_Call(ctx, describe, JS_UNDEFINED, 1, &error);
  describing = false;
  JS_FreeValue(ctx, error);
  if (JS_IsException(v)) {
    JS_FreeValue(ctx, JS_GetException(ctx));
    out_string = NULL;
    area.failed = true;
    area.text = "{\"errorType\":\"InternalError\",\"errorMessage\":\"the error could not be described\",\"stackTrace\":[]}";
    area.len = strlen(area.text);
  } else give_string(true, v);
}

// For CloudFront Functions {"result":…,"origin":…}.
static void give(void) {
  JSValue v = result;
  result = JS_UNDEFINED;
  if (failed) return give_error(v);
  json_begin();
  bool ok = (!cloudfront || json_add("{\"result\":", 10)) && json_write(v) == 0;
  JS_FreeValue(ctx, v);
  if (ok && cloudfront) {
    size_t n = 4;
    const char *o = JS_IsUndefined(origin) ? NULL : JS_ToCStringLen(ctx, &n, origin);
    ok = json_add(",\"origin\":", 10) && json_add(o ? o : "null", n) && json_add("}", 1);
    if (o) JS_FreeCString(ctx, o);
  }
  if (!ok) return give_error(JS_GetException(ctx));
  area.failed = false;
  area.text = json_text(&area.len);
}

// Whatever the call before left behind; only an instance that is used again has anything.
static void forget(void) {
  if (serial == 0) return;
  JSValue v = JS_GetPropertyStr(ctx, boot, "forget");
  JS_FreeValue(ctx, JS_Call(ctx, v, JS_UNDEFINED, 0, NULL));
  JS_FreeValue(ctx, v);
}

static bool pick_handler(JSValue found);

EXPORT("rimward:edge/lambda-edge@0.1.0#handle")
void *handle(char *event, size_t event_len, char *context, size_t len) {
  JS_UpdateStackTop(rt);
  forget();
  keep(&async_store, JS_UNDEFINED);
  serial++;
  settled = failed = told_over = false;
  polls_apart = POLLS_APART;
  event[event_len] = context[len] = 0;
  context_text = context, context_len = len;
  if (!loaded) {
    JSValue found = JS_Call(ctx, load_now, JS_UNDEFINED, 0, NULL);
    if (JS_IsException(found)) settle(true, JS_GetException(ctx));
    else loaded = pick_handler(found);
  }
  if (!settled) run(event, event_len);
  give();
  keep(&origin, JS_UNDEFINED);
  keep(&rejected, JS_UNDEFINED);
  keep(&lambda_context, JS_UNDEFINED);
  context_text = NULL;
  free(event);
  free(context);
  return &area;
}

EXPORT("cabi_post_rimward:edge/lambda-edge@0.1.0#handle") void after(void *unused) {
  if (out_string) JS_FreeCString(ctx, out_string);
  out_string = NULL;
}

// --- before the snapshot

static void method(JSValueConst o, const char *name, JSCFunction *f, int n) { JS_SetPropertyStr(ctx, o, name, JS_NewCFunction(ctx, f, name, n)); }

// waitFor(promise): runs the loop at the top level, for `await` there.
static JSValue wait_for(JSValueConst promise) {
  for (;;) {
    if (!run_jobs()) break;
    JSPromiseStateEnum s = JS_PromiseState(ctx, promise);
    if (s == JS_PROMISE_FULFILLED) return JS_PromiseResult(ctx, promise);
    if (s == JS_PROMISE_REJECTED) return JS_Throw(ctx, JS_PromiseResult(ctx, promise));
    if (!advance() && !JS_IsJobPending(rt)) return JS_ThrowPlainError(ctx, "the top level waits for something that never happens");
  }
  settled = false;
  JSValue e = result;
  result = JS_UNDEFINED;
  return JS_Throw(ctx, e);
}

static JSValue js_wait(JSContext *c, JSValueConst this, int argc, JSValueConst *argv) {
  JSValue store = JS_DupValue(ctx, async_store), v = wait_for(argv[0]);
  keep(&async_store, store);
  return v;
}

// found: {handler, cloudfront, alone}
static bool pick_handler(JSValue found) {
  JSValue f = JS_GetPropertyStr(ctx, found, "handler"), cf = JS_GetPropertyStr(ctx, found, "cloudfront"), n;
  cloudfront = JS_ToBool(ctx, cf);
  keep(&handler, f);
  n = JS_GetPropertyStr(ctx, found, "alone");
  alone = JS_ToBool(ctx, n);
  JS_FreeValue(ctx, n);
  JS_FreeValue(ctx, cf);
  JS_FreeValue(ctx, found);
  return true;
}

// Names that events are full of: known before a call, so that it makes no strings of them.
static const char *const NAMES[] = {"Records", "cf", "config", "distributionDomainName", "distributionId", "eventType", "requestId", "request", "clientIp",
  "headers", "method", "querystring", "uri", "key", "value", "multiValue", "attributes", "cookies", "viewer", "ip", "version", "context", "response", "status",
  "statusCode", "statusDescription", "origin", "custom", "customHeaders", "domainName", "keepaliveTimeout", "path", "port", "protocol", "readTimeout",
  "sslProtocols", "body", "data", "encoding", "action", "inputTruncated", "functionName", "functionVersion", "awsRequestId", "remainingMs", "rawQueryString", "pop",
  "accept", "accept-encoding", "accept-language", "authorization", "cache-control", "content-length", "content-type", "cookie", "host", "if-modified-since",
  "if-none-match", "origin", "pragma", "priority", "range", "referer", "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-fetch-dest", "sec-fetch-mode",
  "sec-fetch-site", "sec-fetch-user", "upgrade-insecure-requests", "user-agent", "via", "x-forwarded-for", "age", "connection", "date", "etag", "expires",
  "last-modified", "location", "server", "set-cookie", "vary", "cloudfront-viewer-country", "cloudfront-is-mobile-viewer", "cloudfront-viewer-address"};

static void start(void) {
  rt = JS_NewRuntime2(&heap_functions, NULL);
  JS_SetMaxStackSize(rt, STACK);
  JS_SetGCThreshold(rt, (size_t)-1);
  JS_SetHostPromiseRejectionTracker(rt, on_rejection, NULL);
  JS_SetInterruptHandler(rt, is_over, NULL);
  modules_init();
  clock_stands = true; // it seeds a generator that is not used: what is built does not depend on the day
  ctx = JS_NewContext(rt);
  clock_stands = false;
  json_init();
  a_request = JS_NewAtom(ctx, "request");
  a_then = JS_NewAtom(ctx, "then");
  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) JS_NewAtom(ctx, NAMES[i]); // never freed
}

static JSValue host_object(void) {
  JSValue host = JS_NewObject(ctx);
  method(host, "call", js_call, 3);
  method(host, "context", js_context, 0);
  method(host, "setOrigin", js_origin, 1);
  method(host, "store", js_store, 0);
  method(host, "enter", js_enter, 1);
  method(host, "building", js_building, 0);
  method(host, "needsHost", js_needs_host, 1);
  method(host, "random", js_random, 0);
  method(host, "waitFor", js_wait, 1);
  bytes_define(host);
  modules_define(host);
  JS_SetPropertyStr(ctx, host, "entry", JS_NewString(ctx, bundle.entry));
  JS_SetPropertyStr(ctx, host, "flavor", JS_NewInt32(ctx, bundle.flavor));
  JS_SetPropertyStr(ctx, host, "strict", JS_NewBool(ctx, bundle.strict));
  JS_SetPropertyStr(ctx, host, "deferred", JS_NewBool(ctx, bundle.deferred));
  return host;
}

// boot.js leaves what C needs in its exports; `start()` evaluates the bundle and gives {report, found}.
static bool boot_up(void) {
  JSValue host = host_object(), module = JS_NewObject(ctx), global = JS_GetGlobalObject(ctx), name = JS_NewString(ctx, "boot");
  JSValue make_shim = JS_GetPropertyStr(ctx, host, "compileShim"), f = JS_Call(ctx, make_shim, host, 1, &name);
  if (JS_IsException(f)) return false;
  boot = JS_NewObject(ctx);
  JSValue args[4] = {host, global, module, boot}, r = JS_Call(ctx, f, JS_UNDEFINED, 4, args);
  if (JS_IsException(r)) return false;
  tick = JS_GetPropertyStr(ctx, boot, "tick");
  rest = JS_GetPropertyStr(ctx, boot, "rest");
  describe = JS_GetPropertyStr(ctx, boot, "describe");
  load_now = JS_GetPropertyStr(ctx, boot, "load");
  context_proto = JS_GetPropertyStr(ctx, boot, "contextPrototype");
  request_proto = JS_GetPropertyStr(ctx, boot, "requestPrototype");
  settle_thenable = JS_GetPropertyStr(ctx, boot, "toPromise");
  return true;
}

// The report or an error, as JSON, and what made the top level need a host: "" when the snapshot is whole.
EXPORT("rimward-init") void *init(const uint8_t *data, size_t len) {
  building = true;
  start();
  JSValue report = JS_EXCEPTION;
  if (bundle_read(data, len) && boot_up()) {
    JSValue begin = JS_GetPropertyStr(ctx, boot, "start"), found;
    found = JS_Call(ctx, begin, JS_UNDEFINED, 0, NULL);
    JS_FreeValue(ctx, begin);
    if (!JS_IsException(found)) {
      report = JS_GetPropertyStr(ctx, found, "report");
      loaded = !bundle.deferred;
      if (loaded) pick_handler(found);
    }
  }
  if (JS_IsException(report)) {
    if (JS_IsUndefined(boot)) area.failed = true, area.text = "{\"errorMessage\":\"the engine did not start\"}", area.len = strlen(area.text);
    else give_error(JS_GetException(ctx));
  } else give_string(false, report);
  JS_RunGC(rt);
  JSMemoryUsage used;
  JS_ComputeMemoryUsage(rt, &used);
  JS_SetGCThreshold(rt, (size_t)used.malloc_size + GARBAGE);
  keep(&rejected, JS_UNDEFINED);
  reseeded = false;
  building = false;
  heap_settle();
  area.needs = needs_host;
  return &area;
}
