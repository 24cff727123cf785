//! Where a call comes from: the address, and the certificate that the client showed when it connected.

use std::net::IpAddr;
use std::sync::Arc;

use portolan_engine::{Error, Result};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tonic::Extensions;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::{principal_name, unauthenticated};

/// Where a call comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) address: Option<IpAddr>,
    /// The chain that TLS has verified, the client's own certificate first.
    certificates: Option<Arc<Vec<CertificateDer<'static>>>>,
}

impl Peer {
    /// What the transport left with a request.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>();
        let tcp = tls.map(TlsConnectInfo::get_ref).or_else(|| extensions.get::<TcpConnectInfo>());
        Self {
            address: tcp.and_then(TcpConnectInfo::remote_addr).map(|address| address.ip().to_canonical()),
            certificates: tls.and_then(TlsConnectInfo::peer_certs),
        }
    }

    /// The name in the client's certificate; `None` where it showed none.
    pub(crate) fn certificate_name(&self) -> Result<Option<String>> {
        match self.certificates.as_deref().and_then(|chain| chain.first()) {
            Some(certificate) => name_in(certificate).map(Some),
            None => Ok(None),
        }
    }
}

/// The subject's common name, or else the first name among the alternative ones.
fn name_in(certificate: &[u8]) -> Result<String> {
    let unfit = |e: Error| unauthenticated("the name in the client certificate is none for a principal").with_source(e);
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|e| unauthenticated(format!("the client certificate is malformed: {e}")))?;
    let common = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    if let Some(name) = common.filter(|name| !name.is_empty()) {
        return principal_name(name).map(str::to_owned).map_err(unfit);
    }
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let first = names.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => Some(*name),
        _ => None,
    });
    match first.into_iter().next() {
        Some(name) => principal_name(name).map(str::to_owned).map_err(unfit),
        None => Err(unauthenticated(
            "the client certificate names nobody: it has no common name, and no DNS name, URI or address of mail",
        )),
    }
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
        Peer { address: None, certificates }.certificate_name()
    }

    #[test]
    fn the_common_name_goes_first() {
        let uri = || SanType::URI("spiffe://mesh/geo".try_into().unwrap());
        let dns = || SanType::DnsName("geo.mesh".try_into().unwrap());
        let mail = || SanType::Rfc822Name("ann@mesh".try_into().unwrap());
        let address = || SanType::IpAddress([127, 0, 0, 1].into());
        assert_eq!(named(Some("ann"), vec![dns()]).unwrap().unwrap(), "ann");
        assert_eq!(named(None, vec![address(), uri(), dns()]).unwrap().unwrap(), "spiffe://mesh/geo");
        assert_eq!(named(Some(""), vec![dns(), uri()]).unwrap().unwrap(), "geo.mesh");
        assert_eq!(named(None, vec![mail()]).unwrap().unwrap(), "ann@mesh");
        assert!(named(None, vec![address()]).is_err());
        assert!(named(Some("anonymous"), vec![]).is_err());
        assert!(named(Some("an\nn"), vec![]).is_err());
        assert_eq!(Peer::default().certificate_name().unwrap(), None);
    }
}
