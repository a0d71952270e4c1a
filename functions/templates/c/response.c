/* A hook for viewer-response: runs before the viewer is answered. */
#include "rimward.h"

static void hook(const rw_message *m, rw_answer *out) {
  (void)m;
  rw_set_header(out, RW("strict-transport-security"), RW("max-age=63072000"));
  rw_set_header(out, RW("x-content-type-options"), RW("nosniff"));
  rw_remove_header(out, RW("server"));
}

RW_EXPORT(hook)
