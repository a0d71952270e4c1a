//! Exports: a hook as the component's export of its event.

/// Exports hooks: `hooks!(viewer_request, viewer_response);` wants a `fn viewer_request() -> Result<(), String>` and a
/// `fn viewer_response() -> Result<(), String>` in scope. `Err` fails the call with these words in the log.
#[macro_export]
macro_rules! hooks {
    ($($event:ident),+ $(,)?) => { $( $crate::export_hook!($event); )+ };
}

#[doc(hidden)]
#[macro_export]
macro_rules! export_hook {
    (viewer_request) => {
        $crate::export_hook!(viewer_request, on_viewer_request, "package rimward:viewer-request-hook;
            world hook { export on-viewer-request: func() -> result<_, string>; }");
    };
    (origin_request) => {
        $crate::export_hook!(origin_request, on_origin_request, "package rimward:origin-request-hook;
            world hook { export on-origin-request: func() -> result<_, string>; }");
    };
    (origin_response) => {
        $crate::export_hook!(origin_response, on_origin_response, "package rimward:origin-response-hook;
            world hook { export on-origin-response: func() -> result<_, string>; }");
    };
    (viewer_response) => {
        $crate::export_hook!(viewer_response, on_viewer_response, "package rimward:viewer-response-hook;
            world hook { export on-viewer-response: func() -> result<_, string>; }");
    };
    ($event:ident, $export:ident, $wit:literal) => {
        #[doc(hidden)]
        mod $export {
            use $crate::rt::wit_bindgen;

            wit_bindgen::generate!({
                inline: $wit,
                runtime_path: "::rimward_edge::rt::wit_bindgen::rt",
            });

            struct Hook;

            impl Guest for Hook {
                fn $export() -> Result<(), String> {
                    super::$event()
                }
            }

            export!(Hook);
        }
    };
}
