//! Sends a share of the visitors to a second origin, always the same ones.
//!
//! Event: origin-request. Grants: config `origin` = the name of the canary in the configuration, `percent` = its share. Who has the
//! cookie canary=always or canary=never is taken at their word; others are placed by their address, so that nothing has to be
//! stored. The cookie and the address are no part of the cache key: attach this to a behavior that does not cache, or that has
//! the cookie in its key.

const std = @import("std");
const rw = @import("rimward");

fn hook(m: *const rw.Message, out: *rw.Answer) !void {
    const origin = rw.config("origin") orelse return error.ConfigHasNoOrigin;
    if (!chosen(m, try percent())) return;
    try out.chooseOrigin(origin);
    try out.setHeader("x-canary", "1");
}

fn chosen(m: *const rw.Message, share: u32) bool {
    if (m.cookie("canary")) |wish| {
        if (std.mem.eql(u8, wish, "always")) return true;
        if (std.mem.eql(u8, wish, "never")) return false;
    }
    return std.hash.Fnv1a_32.hash(m.client_ip) % 100 < share;
}

fn percent() !u32 {
    const text = rw.config("percent") orelse return error.ConfigHasNoPercent;
    return std.fmt.parseInt(u32, text, 10) catch error.ConfigPercentIsNoNumber;
}

comptime {
    rw.exportHook(hook);
}
