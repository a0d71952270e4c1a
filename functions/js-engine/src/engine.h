// What the parts of the engine share. One runtime, one context, one call at a time: so there is no handle to pass around.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "quickjs.h"

#define EXPORT(name) __attribute__((export_name(name), used))

extern JSRuntime *rt;
extern JSContext *ctx;

// What async_hooks keeps for the code that runs (async_store.patch).
extern JSValue async_store;

// --- host.c: the one import, and memory for what the host writes

// Calls `dynamic.call`. The answer is the caller's to free(); false: it is an error message.
bool host_call(const char *op, size_t op_len, const uint8_t *payload, size_t payload_len, uint8_t **out, size_t *out_len);
// Wall-clock milliseconds, from the host.
extern bool clock_stands; // at zero
double host_now(void);
// True while the snapshot is made: there is no host then.
extern bool building;
// Why the top level cannot be part of a snapshot; "" while it can.
extern char needs_host[160];

// --- bundle.c: the files of the function

typedef struct {
  const char *name;
  const uint8_t *data; // followed by a zero byte
  size_t len;
} File;

typedef struct {
  uint8_t flavor;  // 0 auto, 1 Lambda@Edge, 2 and 3 CloudFront Functions 1.0 and 2.0
  bool strict;     // AWS's restrictions at run time too
  bool deferred;   // evaluate at the first call, not now
  const char *entry;
  File *files;
  size_t count;
} Bundle;

extern Bundle bundle;
bool bundle_read(const uint8_t *data, size_t len);
const File *bundle_find(const char *name);
// A module of the engine itself.
const File *shim_find(const char *name);

// --- alloc.c: memory of the JavaScript heap
extern const JSMallocFunctions heap_functions;
void heap_settle(void);

// --- json.c: events and results
void json_init(void);
JSValue json_read(const char *text, size_t len);
void json_begin(void);
bool json_add(const char *text, size_t len);
int json_write(JSValueConst v);
const char *json_text(size_t *len);

// --- bytes.c: text encodings
void bytes_define(JSValueConst host);

// --- modules.c: compiling, and ES modules
void modules_init(void);
void modules_define(JSValueConst host);
