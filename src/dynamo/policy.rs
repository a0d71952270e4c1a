//! Policy: whether a caller's policy allows a request, on every table, index and key that it touches.
//!
//! In: the caller, the operation, its request, what the tables are. Out: nothing, or AccessDeniedException. Never: a
//! request half allowed.
//!
//! Actions, resources and condition keys are those of the Service Authorization Reference, "Actions, resources, and
//! condition keys for Amazon DynamoDB". Where AWS leaves `dynamodb:Select` out (GetItem, BatchGetItem), it is said here
//! too, from whether the request has a projection: a policy on attributes then holds for them as well.

mod need;

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::access::iam::{self, Decision, Items};
use crate::config::iam::{Key, Policy};

use super::catalog::Table;
use super::fault::Fault;
use super::op::Op;
use need::{Need, needs};
pub use need::{leading, tables};

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// "arn:aws:iam::123456789012:user/alice"
    pub arn: Option<String>,
    /// `None` = may do everything.
    pub policy: Option<Arc<Policy>>,
    pub source_ip: IpAddr,
    /// Over TLS.
    pub secure: bool,
    pub user_agent: Option<String>,
}

/// Where tables are, in ARNs.
#[derive(Debug, Clone)]
pub struct Home {
    pub region: String,
    pub account: String,
}

// === impl Home ===
impl Home {
    /// "arn:aws:dynamodb:eu-central-1:123456789012:table/todo"; the ARN of a table that is not here as it is.
    pub fn table(&self, name: &str) -> String {
        if name.starts_with("arn:") {
            return name.to_owned();
        }
        format!("arn:aws:dynamodb:{}:{}:table/{name}", self.region, self.account)
    }

    pub fn index(&self, table: &str, index: &str) -> String {
        format!("{}/index/{index}", self.table(table))
    }

    /// The table's name, when `text` is an ARN of a table here or of what belongs to one; a name as it is.
    pub fn name_of<'a>(&self, text: &'a str) -> Option<&'a str> {
        if !text.starts_with("arn:") {
            return Some(text);
        }
        let rest = text.strip_prefix("arn:aws:dynamodb:")?;
        let rest = rest.strip_prefix(self.region.as_str())?.strip_prefix(':')?;
        let rest = rest.strip_prefix(self.account.as_str())?.strip_prefix(":table/")?;
        rest.split('/').next()
    }
}

// === impl Caller ===
impl Caller {
    /// A caller within this process, whom nothing is refused.
    pub fn inside() -> Caller {
        let source_ip = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        Caller { arn: None, policy: None, source_ip, secure: true, user_agent: None }
    }

    /// # Errors
    /// AccessDeniedException for the first thing that is not allowed.
    pub fn may(
        &self,
        op: Op,
        request: &Map<String, Value>,
        known: &[Arc<Table>],
        home: &Home,
        now_ms: u64,
    ) -> Result<(), Fault> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let conditions = looks_at_items(policy);
        for need in needs(op, request, known, home) {
            self.allows(policy, &need, conditions, now_ms)?;
        }
        Ok(())
    }

    fn allows(&self, policy: &Policy, need: &Need, conditions: bool, now_ms: u64) -> Result<(), Fault> {
        let denied = |explicit| Err(Fault::denied(self.arn.as_deref(), need.action, &need.resource, explicit));
        if need.unread || (need.opaque && conditions) {
            return denied(false);
        }
        let request = iam::Request {
            action: need.action,
            resource: &need.resource,
            source_ip: self.source_ip,
            now_ms,
            secure: self.secure,
            principal_arn: self.arn.as_deref(),
            user_agent: self.user_agent.as_deref(),
            referer: None,
            bare: None,
            dynamodb: Items {
                leading_keys: &need.keys,
                attributes: &need.attributes,
                select: need.select,
                return_values: need.return_values.as_deref(),
            },
        };
        match iam::evaluate(policy, &request) {
            Decision::Allow => Ok(()),
            Decision::ExplicitDeny => denied(true),
            Decision::ImplicitDeny => denied(false),
        }
    }
}

/// Whether a statement looks at what is in a request.
fn looks_at_items(policy: &Policy) -> bool {
    let key = |key: Key| {
        matches!(key, Key::DynamoLeadingKeys | Key::DynamoAttributes | Key::DynamoSelect | Key::DynamoReturnValues)
    };
    policy.statements.iter().flat_map(|statement| &statement.conditions).any(|condition| key(condition.key))
}

#[cfg(test)]
mod tests;
