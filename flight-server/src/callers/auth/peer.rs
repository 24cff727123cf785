//! The origin of a call: its address, and the client certificate of its connection.

use std::net::IpAddr;
use std::sync::Arc;

use portolan_engine::Result;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tonic::Extensions;
use tonic::transport::server::TlsConnectInfo;
use webpki::EndEntityCert;

use crate::callers::identity::principal_name;
use crate::failure::unauthenticated;
use crate::listener::ConnectionInfo;

/// The origin of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallOrigin {
    pub(crate) address: Option<IpAddr>,
    /// The certificate chain that TLS has verified, with the client's own certificate first.
    certificates: Option<Arc<Vec<CertificateDer<'static>>>>,
    connection: Option<ConnectionInfo>,
}

impl CallOrigin {
    /// Reads the origin from the extensions that the transport attached to a request.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let tls = extensions.get::<TlsConnectInfo<ConnectionInfo>>();
        let connection = ConnectionInfo::of(extensions).cloned();
        Self {
            address: connection.as_ref().map(|connection| connection.address),
            certificates: tls.and_then(TlsConnectInfo::peer_certs),
            connection,
        }
    }

    /// Keeps the connection of the call open, because the caller is authenticated.
    pub(crate) fn authenticated(&self) {
        if let Some(connection) = &self.connection {
            connection.authenticated();
        }
    }

    /// Returns the name in the client's certificate; `None` if the client sent no certificate.
    pub(crate) fn certificate_name(&self) -> Result<Option<String>> {
        match self.certificates.as_deref().and_then(|chain| chain.first()) {
            Some(certificate) => name_in(certificate).map(Some),
            None => Ok(None),
        }
    }
}

/// Returns the subject's common name, or else the first alternative DNS name or URI.
fn name_in(certificate: &CertificateDer<'_>) -> Result<String> {
    let parsed = EndEntityCert::try_from(certificate)
        .map_err(|e| unauthenticated("the client certificate is malformed").with_source(e))?;
    let common = common_name(parsed.subject()).filter(|name| !name.is_empty());
    let name = common.or_else(|| parsed.valid_dns_names().next()).or_else(|| parsed.valid_uri_names().next());
    let name = name.ok_or_else(|| {
        unauthenticated("the client certificate names no principal: it has no common name, no DNS name and no URI")
    })?;
    principal_name(name)
        .map(str::to_owned)
        .map_err(|e| unauthenticated("the name in the client certificate is not a valid principal name").with_source(e))
}

/// Returns the first common name in a subject, which is a sequence of sets of pairs of a type and a string (RFC 5280,
/// 4.1.2.4). The certificate is already verified.
fn common_name(mut subject: &[u8]) -> Option<&str> {
    while let Some((SET, mut set, rest)) = element(subject) {
        while let Some((SEQUENCE, pair, more)) = element(set) {
            if let Some((OBJECT_ID, COMMON_NAME, value)) = element(pair)
                && let Some((UTF8 | PRINTABLE | IA5, text, _)) = element(value)
            {
                return std::str::from_utf8(text).ok();
            }
            set = more;
        }
        subject = rest;
    }
    None
}

const SET: u8 = 0x31;
const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Splits off the first element of DER: its tag, its content, and the bytes after it. Elements over 64 KiB are refused.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (length, content) = match der.get(1..)? {
        [short @ 0..=0x7f, content @ ..] => (usize::from(*short), content),
        [0x81, length, content @ ..] => (usize::from(*length), content),
        [0x82, high, low, content @ ..] => (usize::from(*high) << 8 | usize::from(*low), content),
        _ => return None,
    };
    let (content, rest) = content.split_at_checked(length)?;
    Some((*der.first()?, content, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn named(common: Option<&str>, alternative: Vec<SanType>) -> Result<Option<String>> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = common {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = alternative;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let certificates = Some(Arc::new(vec![certificate.der().clone()]));
        CallOrigin { certificates, ..CallOrigin::default() }.certificate_name()
    }

    #[test]
    fn the_common_name_goes_first() {
        let uri = || SanType::URI("spiffe://mesh/geo".try_into().unwrap());
        let dns = || SanType::DnsName("geo.mesh".try_into().unwrap());
        let address = || SanType::IpAddress([127, 0, 0, 1].into());
        assert_eq!(named(Some("ann"), vec![dns()]).unwrap().unwrap(), "ann");
        assert_eq!(named(None, vec![address(), uri()]).unwrap().unwrap(), "spiffe://mesh/geo");
        assert_eq!(named(Some(""), vec![uri(), dns()]).unwrap().unwrap(), "geo.mesh");
        assert_eq!(named(Some("Ännchen"), vec![]).unwrap().unwrap(), "Ännchen");
        let long = "n".repeat(200);
        assert_eq!(named(Some(&long), vec![]).unwrap().unwrap(), long);
        assert!(named(None, vec![address()]).is_err());
        assert!(named(Some("anonymous"), vec![]).is_err());
        assert!(named(Some("an\nn"), vec![]).is_err());
        assert!(named(Some("an\u{202e}n"), vec![]).is_err());
        assert!(named(Some(&"n".repeat(300)), vec![]).is_err());
        assert_eq!(CallOrigin::default().certificate_name().unwrap(), None);
    }
}
