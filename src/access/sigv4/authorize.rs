//! Authorize: whether the policy of a verified key allows what is asked.
//!
//! In: who signed, the request. Out: nothing, or [`Denied`]. Never: a signature.

use super::verify::{Verified, Verifier};
use crate::access::iam::{self, Decision};
use crate::access::{Asked, Denied, Reason, Told, resource};
use crate::message::Fields;

// === impl Verifier ===
impl Verifier {
    /// Whether the key's policy allows the request in this stage ("" = none); a key without one may do whatever its signature covers.
    ///
    /// # Errors
    /// `PolicyDenies`.
    pub fn authorize<F: Fields>(&self, verified: &Verified, asked: &Asked<'_, F>, stage: &str) -> Result<(), Denied> {
        let Some(policy) = verified.policy() else { return Ok(()) };
        let text = |name| asked.fields.first(name).and_then(|value| std::str::from_utf8(value).ok());
        let request = iam::Request {
            action: &self.signer.action,
            resource: "",
            bare: None,
            source_ip: asked.viewer,
            now_ms: asked.now_ms,
            secure: asked.tls,
            principal_arn: Some(verified.principal()),
            user_agent: text(&http::header::USER_AGENT),
            referer: text(&http::header::REFERER),
            dynamodb: iam::Items::default(),
        };
        let resource = |path: &str| {
            let region = Some(verified.region.as_str());
            resource::named(&self.signer.resource, resource::Parts { region, stage, method: asked.method, path })
        };
        let how = match iam::evaluate_path(policy, asked.path, resource, request) {
            Decision::Allow => return Ok(()),
            Decision::ExplicitDeny => " with an explicit deny",
            Decision::ImplicitDeny => "",
        };
        let (who, what, resource) = (verified.principal(), &self.signer.action, resource(asked.path));
        let words = format!("User: {who} is not authorized to perform: {what} on resource: {resource}{how}");
        Err(Denied::new(Reason::PolicyDenies, words.clone()).telling(Told::Words(words)))
    }
}
