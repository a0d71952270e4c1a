//! A hook for viewer-request: runs before the cache is asked.

use rimward_edge::{hooks, log, redirect, request};

hooks!(viewer_request);

fn viewer_request() -> Result<(), String> {
    let uri = request::uri();

    // Answer by itself: nothing further is asked.
    if let Some(rest) = uri.strip_prefix("/old/") {
        return redirect(301, &["/new/", rest].concat());
    }

    // Or go on with a changed request.
    if uri.ends_with('/') {
        request::set_uri(&[&uri, "index.html"].concat())?;
    }
    request::set_header("x-function", b"NAME")?;
    log::write(log::Level::Info, &["asks for ", &request::uri()].concat());
    Ok(())
}
