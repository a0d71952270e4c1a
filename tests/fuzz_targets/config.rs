//! Config: any text is a configuration or a list of errors that can be shown.

use std::path::Path;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match rimward::config::parse(text, "fuzz.toml", Path::new("/nowhere")) {
        Ok(config) => {
            assert!(!config.behaviors.is_empty() || config.origins.is_empty());
            assert!(config.listeners.iter().all(|listener| listener.address.port() > 0 || listener.tls.is_none()));
        }
        Err(errors) => {
            assert!(!errors.to_string().is_empty());
            assert!(errors.render(true).contains("fuzz.toml"));
        }
    }
}
