//! Key sets (JWKS): read from a file or fetched over HTTP.
//!
//! Owns how: with a bound on time and on size, never on a thread that serves clients. What a key
//! set says is read by `chat::auth`. Tests: `tests/it/reload.rs`.

use crate::chat::auth::{Asked, KeySet, KeySets};
use crate::config::{ClientConfig, TokenConfig};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a key set; one of an identity provider has a few KiB.
const BYTES_MAX: u64 = 1024 * 1024;

/// For the whole request, the name's lookup included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The key sets that the configuration names, with their texts, to tell whether they have changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Sets {
    /// Ready for use.
    pub(super) sets: KeySets,
    texts: [Option<String>; 2],
}

impl Sets {
    /// Reads the key sets that `client` names. Errors, for the operator: what cannot be read.
    pub(super) fn read(client: &ClientConfig) -> Result<Sets, String> {
        let [connection, subscription] = sections(client);
        let (connection_text, connection) = read(connection)?;
        let (subscription_text, subscription) = read(subscription)?;
        Ok(Sets {
            sets: KeySets { connection, subscription, asked: Asked::default() },
            texts: [connection_text, subscription_text],
        })
    }

    /// Whether `other` says the same, and neither was asked for a key.
    pub(super) fn same(&self, other: &Sets) -> bool {
        let not_asked = |sets: &Sets| sets.sets.asked.ids.is_empty();
        self.texts == other.texts && not_asked(self) && not_asked(other)
    }
}

/// How long until the key sets are read again; `None`: there are none.
pub(super) fn refresh_interval(client: &ClientConfig) -> Option<Duration> {
    let named = sections(client).into_iter().flatten().filter(|(_, token)| token.has_jwks());
    named.map(|(_, token)| token.jwks_refresh).min()
}

/// How long until the key sets may be read once more because a key is not in them.
pub(super) fn early_interval(client: &ClientConfig) -> Duration {
    let named = sections(client).into_iter().flatten().filter(|(_, token)| token.has_jwks());
    named.map(|(_, token)| token.jwks_refresh_min_interval).max().unwrap_or_default()
}

/// Whether two configurations read their key sets from the same places.
pub(super) fn same_places(a: &ClientConfig, b: &ClientConfig) -> bool {
    let places = |client| {
        sections(client).map(|section| {
            section.map(|(_, token)| (token.jwks_public_endpoint.clone(), token.jwks_file.clone()))
        })
    };
    places(a) == places(b)
}

/// The sections that may name a key set, each with its path.
fn sections(client: &ClientConfig) -> [Option<(&'static str, &TokenConfig)>; 2] {
    let own = &client.subscription_token;
    [
        Some(("client.token", &client.token)),
        own.enabled.then_some(("client.subscription_token", &own.token)),
    ]
}

/// The text of a key set and what it says.
type Found = (Option<String>, Option<Arc<KeySet>>);

fn read(section: Option<(&'static str, &TokenConfig)>) -> Result<Found, String> {
    let Some((at, token)) = section.filter(|(_, token)| token.has_jwks()) else {
        return Ok((None, None));
    };
    let endpoint = &token.jwks_public_endpoint;
    let (key, place, text) = match endpoint.is_empty() {
        true => ("jwks_file", &token.jwks_file, from_file(&token.jwks_file)),
        false => ("jwks_public_endpoint", endpoint, fetch(endpoint)),
    };
    let failed = |why: String| format!("{at}.{key}: {place}: {why}");
    let text = text.map_err(failed)?;
    let set = KeySet::parse(&text).map_err(failed)?;
    Ok((Some(text), Some(Arc::new(set))))
}

fn from_file(path: &str) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("cannot read this file: {e}");
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    // One byte more than allowed: then it is too long.
    file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    match text.len() as u64 > BYTES_MAX {
        true => Err(format!("this file is longer than {BYTES_MAX} bytes")),
        false => Ok(text),
    }
}

fn fetch(url: &str) -> Result<String, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        // No redirect leads from https to http.
        .https_only(url.starts_with("https://"))
        .max_redirects(3)
        // The environment is read by `config` alone.
        .proxy(None)
        .user_agent(concat!("ringchat/", env!("CARGO_PKG_VERSION")))
        .tls_config(
            ureq::tls::TlsConfig::builder()
                .root_certs(ureq::tls::RootCerts::PlatformVerifier)
                .build(),
        )
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(|e| format!("cannot fetch this: {e}"))?;
    let body = response.body_mut().with_config().limit(BYTES_MAX).read_to_string();
    body.map_err(|e| format!("cannot fetch this: {e}"))
}
