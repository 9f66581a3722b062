//! One client connection's TLS, without I/O: bytes in, bytes out. The owner moves them.
//!
//! Who is trusted: the system's roots, or exactly the certificates of one file. Tests at the end.

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore,
    SupportedProtocolVersion,
};
use std::io::{BufRead, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// One client connection.
#[derive(Debug)]
pub struct Tls(ClientConnection);

impl Tls {
    /// For all connections of a run. `ca`: trust the certificates in this PEM file, and no others.
    ///
    /// Errors: why there is nobody to trust.
    pub fn config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
        let roots = match ca {
            Some(path) => roots_of(path)?,
            None => system_roots()?,
        };
        let provider = Arc::new(ring::default_provider());
        let failed = |error: &dyn std::fmt::Display| format!("TLS cannot be set up: {error}");
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| failed(&error))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .map_err(|error| failed(&error))?;
        let mut config = builder.with_webpki_verifier(verifier).with_no_client_auth();
        // A WebSocket begins as HTTP/1.1; a server that offers more must not choose HTTP/2.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// A connection to the server `name`, a host name or an address, which its certificate must
    /// bear. Call [`Tls::write`], with nothing if need be, to get the first bytes to send.
    pub fn new(config: Arc<ClientConfig>, name: &str) -> Result<Tls, String> {
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("{name:?} is not a name for which there are certificates"))?;
        let mut connection = ClientConnection::new(config, server).map_err(explain)?;
        // The owner bounds what it sends; a limit here would lose bytes without a word.
        connection.set_buffer_limit(None);
        Ok(Tls(connection))
    }

    /// Encrypts `plain` and appends to `out` what must be sent now. Until the handshake is done,
    /// `plain` waits in here, and goes out with what [`Tls::read`] appends.
    pub fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.0.writer().write_all(plain).map_err(|error| format!("TLS: {error}"))?;
        self.flush(out)
    }

    /// Takes what the server sent: appends to `plain` what it says, and to `out` what must be sent
    /// in answer, also after an error.
    pub fn read(
        &mut self,
        mut cipher: &[u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        while !cipher.is_empty() {
            // Takes as much as there is room for.
            let taken = self.0.read_tls(&mut cipher).map_err(|error| format!("TLS: {error}"))?;
            if let Err(error) = self.0.process_new_packets() {
                // The alert that says why.
                self.flush(out)?;
                return Err(explain(error));
            }
            self.take_plain(plain)?;
            if taken == 0 {
                // The server has said its last word; what follows means nothing.
                break;
            }
        }
        self.flush(out)
    }

    /// Says that nothing will follow: appends the last bytes to send.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.0.send_close_notify();
        // Into memory: cannot fail.
        let _ = self.flush(out);
    }

    /// Is the handshake still going on?
    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    fn take_plain(&mut self, plain: &mut Vec<u8>) -> Result<(), String> {
        let mut reader = self.0.reader();
        loop {
            let len = match reader.fill_buf() {
                Ok(chunk) => {
                    plain.extend_from_slice(chunk);
                    chunk.len()
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("TLS: {error}")),
            };
            if len == 0 {
                return Ok(());
            }
            reader.consume(len);
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        while self.0.wants_write() {
            self.0.write_tls(out).map_err(|error| format!("TLS: {error}"))?;
        }
        Ok(())
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() {
        return Err(failed(&"no certificate in it; it must be PEM"));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems hold certificates that are too old in form; the others are enough.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "this system trusts no certificates{why}: install its CA certificates or give --ca FILE"
        ));
    }
    Ok(roots)
}

/// An error, and what to do about it where that is known.
fn explain(error: Error) -> String {
    let hint = match &error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            ": it is not signed by anyone trusted here; give its issuer with --ca FILE"
        }
        Error::InvalidMessage(_) => ": does the server speak TLS there? if not, use ws://",
        _ => "",
    };
    format!("TLS: {error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection};
    use std::io::Read;
    use std::path::PathBuf;

    struct Pem(PathBuf);

    impl Drop for Pem {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn pem(name: &str, text: &str) -> Pem {
        let file = format!("ringchat-loadgen-tls-{}-{name}.pem", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        Pem(path)
    }

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A server for `localhost` and 127.0.0.1, and its issuer's certificate.
    fn server(name: &str) -> (ServerConnection, Pem) {
        let issuer = authority(name);
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();
        server.set_buffer_limit(None);
        (server, pem(name, &issuer.pem()))
    }

    /// Moves bytes both ways, a piece at a time, until there are none; what each side heard.
    fn talk(
        client: &mut Tls,
        server: &mut ServerConnection,
        mut to_server: Vec<u8>,
        piece: usize,
    ) -> Result<(Vec<u8>, Vec<u8>), String> {
        let (mut at_client, mut at_server) = (Vec::new(), Vec::new());
        loop {
            for mut bytes in to_server.chunks(piece) {
                while !bytes.is_empty() {
                    server.read_tls(&mut bytes).unwrap();
                    server.process_new_packets().map_err(|error| format!("server: {error}"))?;
                    let _ = server.reader().read_to_end(&mut at_server);
                }
            }
            to_server.clear();
            let mut to_client = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut to_client).unwrap();
            }
            if to_client.is_empty() {
                return Ok((at_client, at_server));
            }
            for bytes in to_client.chunks(piece) {
                client.read(bytes, &mut at_client, &mut to_server)?;
            }
        }
    }

    #[test]
    fn both_sides_hear_each_other() {
        for (name, piece) in [("localhost", 1 << 20), ("127.0.0.1", 7)] {
            let (mut server, ca) = server(&format!("good-{piece}"));
            let mut client = Tls::new(Tls::config(Some(&ca.0)).unwrap(), name).unwrap();
            // More than a record, more than rustls' own buffers.
            let question = vec![b'q'; 300_000];
            let mut out = Vec::new();
            client.write(&question, &mut out).unwrap();
            assert!(client.is_handshaking());
            let heard = talk(&mut client, &mut server, out, piece).unwrap();
            assert!(heard == (vec![], question), "waited for the handshake");
            assert!(!client.is_handshaking());
            assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
            let answer = vec![b'a'; 100_000];
            server.writer().write_all(&answer).unwrap();
            let heard = talk(&mut client, &mut server, vec![], piece).unwrap();
            assert!(heard == (answer, vec![]));
            let mut out = Vec::new();
            client.write(b"more", &mut out).unwrap();
            client.close(&mut out);
            assert_eq!(talk(&mut client, &mut server, out, piece).unwrap().1, b"more");
            assert!(server.reader().read(&mut [0]).is_ok_and(|len| len == 0), "closed");
        }
    }

    #[test]
    fn a_server_that_closes_is_heard_out() {
        let (mut server, ca) = server("closing");
        let mut client = Tls::new(Tls::config(Some(&ca.0)).unwrap(), "localhost").unwrap();
        let mut out = Vec::new();
        client.write(b"", &mut out).unwrap();
        talk(&mut client, &mut server, out, 4096).unwrap();
        server.writer().write_all(b"bye").unwrap();
        server.send_close_notify();
        assert_eq!(talk(&mut client, &mut server, vec![], 4096).unwrap().0, b"bye");
    }

    #[test]
    fn strangers_are_refused() {
        let (_, other) = server("other");
        for (name, ca, why) in [
            ("localhost", Some(&other), "signed by anyone trusted here; give its issuer with --ca"),
            ("example.com", None, "not valid for name \"example.com\""),
        ] {
            let (mut server, own) = server(&format!("strange-{name}"));
            let ca = ca.unwrap_or(&own);
            let mut client = Tls::new(Tls::config(Some(&ca.0)).unwrap(), name).unwrap();
            let mut out = Vec::new();
            client.write(b"secret", &mut out).unwrap();
            let error = talk(&mut client, &mut server, out, 4096).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let (_, ca) = server("plaintext");
        let mut client = Tls::new(Tls::config(Some(&ca.0)).unwrap(), "localhost").unwrap();
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        let error = client.read(b"HTTP/1.1 400 Bad\r\n\r\n", &mut plain, &mut out).unwrap_err();
        assert!(error.contains("use ws://"), "{error}");
    }

    #[test]
    fn files_without_certificates_are_refused() {
        let empty = pem("empty", "hello");
        let damaged =
            pem("damaged", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----");
        for (path, why) in [
            (&empty.0, "no certificate in it"),
            (&damaged.0, "damaged.pem: "),
            (&PathBuf::from("nowhere.pem"), "nowhere.pem: "),
        ] {
            let error = Tls::config(Some(path)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(Tls::new(Tls::config(Some(&server("name").1.0)).unwrap(), "not a name").is_err());
    }
}
