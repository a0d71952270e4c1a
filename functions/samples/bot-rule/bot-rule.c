/* Turns away programs that ask for pages, and lets the search engines in.
 *
 * Event: viewer-request. Grants: none but `config`: `allow` and `deny` are comma-separated words that are looked for in the
 * User-Agent, whatever their case. `allow` comes first. No User-Agent at all is denied; so is one that asks for more than /robots.txt
 * and has no Accept-Language while it says that it is a browser. What goes on has x-bot: yes or no. */

#include "rimward.h"

static bool any_of(rw_bytes words, rw_bytes agent) {
  for (uint32_t at = 0; at < words.len;) {
    uint32_t end = at;
    while (end < words.len && words.data[end] != ',') end++;
    rw_bytes word = rw_slice(words, at, end);
    if (word.len && rw_find(agent, word) >= 0) return true;
    at = end + 1;
  }
  return false;
}

static void deny(rw_answer *out) {
  rw_field fields[] = {{RW("content-type"), RW("text/plain")}, {RW("cache-control"), RW("no-store")}};
  rw_respond(out, 403, fields, 2, RW("Automated requests are not served here.\n"));
}

static void hook(const rw_message *m, rw_answer *out) {
  rw_bytes agent = rw_field_of(m->request, RW("user-agent"));
  bool friend = any_of(rw_config(RW("allow")), agent);
  bool says_browser = rw_starts_with(agent, RW("Mozilla/"));
  bool is_browser = says_browser && rw_field_of(m->request, RW("accept-language")).len > 0;

  if (!friend && !rw_equal(m->uri, RW("/robots.txt"))) {
    if (!agent.len || any_of(rw_config(RW("deny")), agent) || (says_browser && !is_browser)) return deny(out);
  }
  rw_set_header(out, RW("x-bot"), is_browser && !friend ? RW("no") : RW("yes"));
}

RW_EXPORT(hook)
