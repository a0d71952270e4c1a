// The host: one import by its canonical lowering, and the memory that the host asks for.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine.h"

__attribute__((import_module("rimward:edge/dynamic@0.1.0"), import_name("call"))) extern void dynamic_call(
    const char *op, size_t op_len, const uint8_t *payload, size_t payload_len, void *result);

bool building = false;
char needs_host[160];

// One byte more than asked for, so that text can be closed by a zero in place.
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  void *p = realloc(old, size + 1);
  if (!p) __builtin_trap();
  return p;
}

// result<list<u8>, string>: a discriminant, then pointer and length of either.
typedef struct {
  uint8_t failed;
  uint8_t *data;
  size_t len;
} Result;

static void need_host(const char *op, size_t len) {
  if (!needs_host[0]) snprintf(needs_host, sizeof needs_host, "%.*s", (int)len, op);
}

bool host_call(const char *op, size_t op_len, const uint8_t *payload, size_t payload_len, uint8_t **out, size_t *out_len) {
  // Whoever builds takes log lines of the top level, and knows the time and perhaps the configuration; everything else has to wait for a call.
  bool known = strncmp(op, "log.", 4) == 0 || strcmp(op, "clock.now") == 0 || strcmp(op, "config.all") == 0;
  if (building && !known) {
    need_host(op, op_len);
    const char *why = "not available while the function is built";
    *out = (uint8_t *)strdup(why);
    *out_len = strlen(why);
    return false;
  }
  Result r = {0};
  dynamic_call(op, op_len, payload, payload_len, &r);
  *out = r.data;
  *out_len = r.len;
  return !r.failed;
}

bool clock_stands;

double host_now(void) {
  if (clock_stands) return 0;
  uint8_t *text = NULL;
  size_t len = 0;
  double now = 0;
  if (host_call("clock.now", 9, NULL, 0, &text, &len))
    for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++) now = now * 10 + (text[i] - '0');
  free(text);
  return now;
}
