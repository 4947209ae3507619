//! Where an export is: NBD URIs.
//!
//! Source: NetworkBlockDevice/nbd, `doc/uri.md` (as of 2024).

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::Url;

use super::NbdError;

/// The port that IANA has given to NBD.
const PORT: u16 = 10809;

/// Where an export is, and whether the way there is encrypted.
///
/// ```
/// use libmigrate::source::nbd::NbdUri;
///
/// # fn main() -> Result<(), libmigrate::source::nbd::NbdError> {
/// let disk: NbdUri = "nbd+unix:///disk0?socket=/run/web01.sock".parse()?;
/// let remote: NbdUri = "nbds://backup.example/disk0".parse()?;
/// # assert_eq!((disk.export(), remote.export()), ("disk0", "disk0"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NbdUri {
    pub(super) address: Address,
    pub(super) is_tls: bool,
    export: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl NbdUri {
    /// The export's name; empty for the server's default.
    pub fn export(&self) -> &str {
        &self.export
    }
}

impl std::str::FromStr for NbdUri {
    type Err = NbdError;

    fn from_str(uri: &str) -> Result<Self, NbdError> {
        let wrong = |problem: String| NbdError::Uri { uri: uri.to_owned(), problem };
        let url = Url::parse(uri).map_err(|e| wrong(e.to_string()))?;
        let (is_unix, is_tls) = match url.scheme() {
            "nbd" => (false, false),
            "nbds" => (false, true),
            "nbd+unix" => (true, false),
            "nbds+unix" => (true, true),
            other => return Err(wrong(format!("the scheme {other:?} is none of nbd, nbds, nbd+unix, nbds+unix"))),
        };
        let decoded = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(wrong("it is not UTF-8".into())),
        };
        let export = decoded(url.path().strip_prefix('/').unwrap_or(url.path()))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let address = if is_unix {
            let socket = url.query_pairs().find(|(name, _)| name == "socket");
            let socket = socket.ok_or_else(|| wrong("it names no socket (?socket=/path)".into()))?;
            if host.is_some() {
                return Err(wrong("a Unix socket has no host: nbd+unix:///export?socket=/path".into()));
            }
            Address::Unix(PathBuf::from(socket.1.into_owned()))
        } else {
            let host = host.ok_or_else(|| wrong("it names no host".into()))?;
            let host = decoded(host)?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host).to_owned();
            Address::Tcp { host, port: url.port().unwrap_or(PORT) }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NbdError::Uri {
                uri: "nbd://…@…".into(), problem: "NBD knows no users in its URIs".into()
            });
        }
        Ok(Self { address, is_tls, export })
    }
}

/// The server, without the export.
impl fmt::Display for NbdUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(uri: &str) -> NbdUri {
        uri.parse().unwrap()
    }

    #[test]
    fn hosts_have_the_port_of_the_standard_unless_they_say_another() {
        let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };

        assert_eq!(parsed("nbd://backup.example").address, tcp("backup.example", 10809));
        assert_eq!(parsed("nbd://10.0.0.1:999/a").address, tcp("10.0.0.1", 999));
        assert_eq!(parsed("nbds://[::1]/a").address, tcp("::1", 10809));
    }

    #[test]
    fn the_exports_name_is_the_path_without_its_first_slash() {
        assert_eq!(parsed("nbd://h").export(), "");
        assert_eq!(parsed("nbd://h/").export(), "");
        assert_eq!(parsed("nbd://h//a%20b/c").export(), "/a b/c");
    }

    #[test]
    fn a_socket_is_named_in_the_query() {
        let uri = parsed("nbd+unix:///disk?socket=/run/a%20b.sock");

        assert_eq!((uri.address, uri.export.as_str()), (Address::Unix("/run/a b.sock".into()), "disk"));
    }

    #[test]
    fn what_is_no_uri_of_nbd_is_refused_with_the_reason() {
        for (uri, reason) in [
            ("disk.raw", "relative URL"),
            ("http://h/a", "scheme"),
            ("nbd+unix:///a", "socket"),
            ("nbd+unix://h/a?socket=/s", "no host"),
            ("nbd:///a", "no host"),
            ("nbd://user:word@h/a", "no users"),
        ] {
            let error = uri.parse::<NbdUri>().unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("word"), "{error}");
        }
    }
}
