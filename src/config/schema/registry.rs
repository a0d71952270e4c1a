//! Registry: the table `[[registry]]`.
//!
//! In: TOML. Out: what was written. Never: secrets read.

use schemars::JsonSchema;
use serde::Deserialize;

use super::origin::Reference;

/// How a registry of `oci://` images lets this process in. One that lets everybody read needs no table.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Required. As images name it: "ghcr.io", "registry.test:5000".
    pub host: String,
    /// Required. User name.
    pub username: String,
    /// Required. Password or access token: "env:NAME" or "file:path". Read only when an image is pulled: PoPs that get their images with a
    /// revision need none.
    pub password: Reference,
}
