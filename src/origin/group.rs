//! Group: decides which origin of a group is asked after one failed.
//!
//! In: the group, the members this request asked already, what happened. Out: the next member.
//! Never: remembers anything between requests: each one asks the primary first, as CloudFront does.

use http::{Method, StatusCode};

use crate::config::compiled::{OriginGroup, OriginId};

/// What the last member did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It answered.
    Status(StatusCode),
    /// It did not: name, connection, time or a broken answer.
    Failed,
}

/// The member to ask next; `None` when the last outcome stands. With nothing tried: the primary. Failover is for GET, HEAD
/// and OPTIONS only (CloudFront, "Optimize high availability with origin failover").
pub fn next(group: &OriginGroup, tried: &[OriginId], cause: Cause, method: &Method) -> Option<OriginId> {
    if !tried.is_empty() {
        let moves_on = match cause {
            Cause::Failed => true,
            Cause::Status(status) => group.failover.contains(&status),
        };
        if !moves_on || ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
            return None;
        }
    }
    group.members.iter().copied().find(|member| !tried.contains(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_member() {
        let group = OriginGroup {
            name: "g".into(),
            members: vec![4, 1, 7],
            failover: vec![StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY],
        };
        let status = |code| Cause::Status(StatusCode::from_u16(code).unwrap());
        for (name, tried, cause, method, want) in [
            ("the primary first", vec![], Cause::Failed, Method::GET, Some(4)),
            ("the primary for any method", vec![], Cause::Failed, Method::POST, Some(4)),
            ("a listed status moves on", vec![4], status(404), Method::GET, Some(1)),
            ("another status stands", vec![4], status(500), Method::GET, None),
            ("a failure moves on", vec![4], Cause::Failed, Method::HEAD, Some(1)),
            ("further on", vec![4, 1], Cause::Failed, Method::OPTIONS, Some(7)),
            ("to the end", vec![4, 1, 7], Cause::Failed, Method::GET, None),
            ("not for POST", vec![4], Cause::Failed, Method::POST, None),
            ("not for DELETE", vec![4], status(404), Method::DELETE, None),
        ] {
            assert_eq!(next(&group, &tried, cause, &method), want, "{name}");
        }
    }
}
