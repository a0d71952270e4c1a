//! A hook for viewer-request: runs before the cache is asked.

const std = @import("std");
const rw = @import("rimward");

fn hook(m: *const rw.Message, out: *rw.Answer) !void {
    const old = "/old/";

    // Answer by itself: nothing further is asked.
    if (std.mem.startsWith(u8, m.uri, old)) {
        const location = try rw.concat(&.{ "/new/", m.uri[old.len..] });
        return out.respond(301, &.{.{ .name = "location", .value = location }}, "");
    }

    // Or go on with a changed request.
    if (std.mem.endsWith(u8, m.uri, "/")) try out.setUri(try rw.concat(&.{ m.uri, "index.html" }));
    try out.setHeader("x-function", "NAME");
}

comptime {
    rw.exportHook(hook);
}
