//! A hook for viewer-response: runs before the viewer is answered.

use rimward_edge::{hooks, log, request, response};

hooks!(viewer_response);

fn viewer_response() -> Result<(), String> {
    response::set_header("strict-transport-security", b"max-age=63072000")?;
    response::set_header("x-content-type-options", b"nosniff")?;
    response::remove_header("server")?;
    log::write(log::Level::Info, &format!("answered {} with {}", request::uri(), response::status()));
    Ok(())
}
