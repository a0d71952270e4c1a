//! A hook for viewer-response: runs before the viewer is answered.

const rw = @import("rimward");

fn hook(_: *const rw.Message, out: *rw.Answer) !void {
    try out.setHeader("strict-transport-security", "max-age=63072000");
    try out.setHeader("x-content-type-options", "nosniff");
    try out.removeHeader("server");
}

comptime {
    rw.exportHook(hook);
}
