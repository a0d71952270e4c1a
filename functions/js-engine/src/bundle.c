// The bundle: what the builder hands over before the snapshot. All numbers little-endian:
//   u8 flavor, u8 strict, u8 deferred, str entry, u32 count, count × (str name, str data, u8 0); str: u32 length, bytes
// The data stay where they are: files that are read or required at a call are found here.
#include <stdlib.h>
#include <string.h>
#include "engine.h"

Bundle bundle;

typedef struct {
  const uint8_t *at, *end;
  bool bad;
} Reader;

static uint32_t number(Reader *r, size_t size) {
  uint32_t value = 0;
  if ((size_t)(r->end - r->at) < size) {
    r->bad = true;
    return 0;
  }
  memcpy(&value, r->at, size);
  r->at += size;
  return value;
}

static const uint8_t *span(Reader *r, size_t *len) {
  *len = number(r, 4);
  if (r->bad || (size_t)(r->end - r->at) < *len) {
    r->bad = true;
    *len = 0;
  }
  const uint8_t *p = r->at;
  r->at += *len;
  return p;
}

static char *text(Reader *r) {
  size_t len;
  const uint8_t *p = span(r, &len);
  return strndup((const char *)p, len);
}

bool bundle_read(const uint8_t *data, size_t len) {
  Reader r = {data, data + len, false};
  bundle.flavor = number(&r, 1);
  bundle.strict = number(&r, 1);
  bundle.deferred = number(&r, 1);
  bundle.entry = text(&r);
  bundle.count = number(&r, 4);
  if (r.bad || bundle.count > len / 9) return false;
  bundle.files = calloc(bundle.count + 1, sizeof(File));
  for (size_t i = 0; i < bundle.count && !r.bad; i++) {
    bundle.files[i].name = text(&r);
    bundle.files[i].data = span(&r, &bundle.files[i].len);
    number(&r, 1);
  }
  return !r.bad;
}

// The builder sorts the names.
const File *bundle_find(const char *name) {
  size_t low = 0, high = bundle.count;
  while (low < high) {
    size_t mid = (low + high) / 2;
    int order = strcmp(bundle.files[mid].name, name);
    if (order == 0) return &bundle.files[mid];
    if (order < 0) low = mid + 1;
    else high = mid;
  }
  return NULL;
}

// build.sh writes one line a file: S("name", id), and the arrays.
#include "shims.inc"

const File *shim_find(const char *name) {
  for (size_t i = 0; i < sizeof shims / sizeof *shims; i++)
    if (!strcmp(shims[i].name, name)) return &shims[i];
  return NULL;
}
