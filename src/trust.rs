//! Whose certificates are trusted where Petasos is the client: those that the system trusts.

use std::sync::Arc;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// TLS that trusts the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` say where else
/// they are), and where there are none, those that Mozilla trusts.
///
/// Reads files, and so takes a while.
pub fn tls_config() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificates that the system should trust cannot be read");
    }
    let roots = match found.certs.is_empty() {
        true => RootCerts::WebPki,
        false => {
            let certificates = found.certs.iter().map(|der| Certificate::from_der(der).to_owned());
            RootCerts::Specific(Arc::new(certificates.collect()))
        }
    };
    TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build()
}
