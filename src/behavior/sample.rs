//! Sample: a plain behavior for the tests of this room. In: nothing. Out: a behavior that does nothing. Never: in a release.

use super::decide::Viewer;
use crate::config::compiled::*;
use http::{Method, Version};
use std::time::Duration;

pub(super) fn behavior() -> Behavior {
    Behavior {
        name: "*".to_owned(),
        pattern: Pattern { text: "*".to_owned(), host: None, path: "*".to_owned() },
        action: Action::Forward(Upstream::Origin(0)),
        methods: vec![Method::GET, Method::HEAD, Method::OPTIONS],
        viewer_protocol: ViewerProtocol::AllowAll,
        cache: CachePolicy {
            enabled: true,
            min_ttl: Duration::ZERO,
            default_ttl: Duration::from_secs(60),
            max_ttl: Duration::from_secs(3600),
            key: KeyPolicy {
                headers: vec![],
                cookies: Select::None,
                query: Select::All,
                sort_query: false,
                ignore_host: false,
            },
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            soft_timeout: None,
            heuristic_percent: 0,
            error_ttl: Duration::from_secs(10),
            request_directives: RequestDirectives::Ignore,
            set_cookie: SetCookie::Refuse,
            max_object: 1 << 20,
            tag_headers: vec![],
            collapse: true,
        },
        request: RequestPolicy {
            headers: ForwardHeaders::Default,
            cookies: Select::None,
            query: Select::All,
            forwarded: false,
            body_size: 1 << 20,
        },
        response: ResponsePolicy::default(),
        compress: None,
        errors: vec![],
        root_object: None,
        index: None,
        rewrite: PathRewrite::default(),
        hooks: Hooks::default(),
        canary: None,
        access: None,
        limits: vec![],
        stage: String::new(),
        identity: Identity::default(),
        per_principal: false,
    }
}

pub(super) fn viewer<'a>(method: &'a Method, tls: bool, path: &'a str, query: Option<&'a str>) -> Viewer<'a> {
    Viewer { method, version: Version::HTTP_11, tls, host: "www.example.com:8080", path, query }
}
