//! Authorizer: whatever a function says, nobody is let in whom it does not name allowed in so many words.
#![allow(clippy::unwrap_used)]

use http::HeaderMap;
use rimward::access::{Asked, Decision, Memo};
use rimward::config::compiled::{Asks, Authorizer, AuthorizerKind, IdentitySource};
use std::sync::LazyLock;
use std::time::Duration;

static MEMOS: LazyLock<Vec<Memo>> = LazyLock::new(|| {
    let memo = |kind| {
        Memo::new(&Authorizer {
            name: "a".into(),
            asks: Asks::Function { id: 0, cpu: Duration::from_millis(10), timeout: Duration::from_secs(1) },
            kind,
            identity: vec![IdentitySource::Path],
            validate: None,
            ttl: Duration::ZERO,
            entries: 1,
            resource: "arn:aws:execute-api:us-east-1:000000000000:api/prod/$method/$path".into(),
        })
    };
    [AuthorizerKind::Token, AuthorizerKind::Request1, AuthorizerKind::Request2].map(memo).into()
});

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let fields = HeaderMap::new();
    let asked = Asked {
        method: "GET",
        host: "h",
        path: "/pets/1",
        query: None,
        fields: &fields,
        tls: true,
        viewer: [127, 0, 0, 1].into(),
        now_ms: 0,
    };
    for memo in MEMOS.iter() {
        let question = memo.question(&asked, "dev").unwrap();
        let decision = memo.understand(Ok(&text));
        let admitted = memo.judge(&asked, &question, &decision).is_ok();
        let said: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let allowed = said.is_some_and(|said| match &decision {
            Decision::Simple { .. } => said["isAuthorized"] == true,
            Decision::Policy { .. } => {
                let statements = &said["policyDocument"]["Statement"];
                let list = statements.as_array().map_or(std::slice::from_ref(statements), Vec::as_slice);
                list.iter().any(|one| one["Effect"] == "Allow")
            }
            Decision::Unauthorized | Decision::Failed(_) => false,
        });
        assert!(!admitted || allowed, "{decision:?}");
        // What was thrown lets nobody in either.
        assert!(memo.judge(&asked, &question, &memo.understand(Err(&text))).is_err());
    }
}
