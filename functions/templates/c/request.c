/* A hook for viewer-request: runs before the cache is asked. */
#include "rimward.h"

static void hook(const rw_message *m, rw_answer *out) {
  rw_bytes old = RW("/old/");

  /* Answer by itself: nothing further is asked. */
  if (rw_starts_with(m->uri, old)) {
    rw_field fields[] = {{RW("location"), rw_concat(RW("/new/"), rw_slice(m->uri, old.len, m->uri.len))}};
    return rw_respond(out, 301, fields, 1, RW(""));
  }

  /* Or go on with a changed request. */
  if (rw_ends_with(m->uri, RW("/"))) rw_set_uri(out, rw_concat(m->uri, RW("index.html")));
  rw_set_header(out, RW("x-function"), RW("NAME"));
}

RW_EXPORT(hook)
