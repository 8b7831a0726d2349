//! From which pages a browser may connect (RFC 6454; RFC 6455, section 10.2).
//!
//! A browser lets any page open a WebSocket to any server, with the user's cookies, and says in `Origin` whose page it
//! is; the rest is the server's affair. Other clients send what they like, so this protects users of browsers, and nobody
//! else.

use std::net::Ipv6Addr;

use actix_web::http::header::{HOST, HeaderMap, HeaderName, ORIGIN};

use crate::{AllowedOrigins, ConfigError};

/// Which origins may connect. A request without one is not a browser's, and may always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Those whose host and port are what the request asked for. The scheme may differ: behind a proxy that terminates
    /// TLS, the server cannot know it.
    SameHost,
    Listed(Vec<Origin>),
    Any,
}

/// Scheme, host and port, as RFC 6454 compares them: in lower case, and with the scheme's own port where none is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    /// `None` where the scheme has no port of its own, as those of apps and browsers' extensions.
    port: Option<u16>,
}

impl Origins {
    /// What the configuration says.
    pub(crate) fn new(allowed: &AllowedOrigins) -> Result<Self, ConfigError> {
        match allowed {
            AllowedOrigins::SameHost => Ok(Self::SameHost),
            AllowedOrigins::Listed(origins) => Self::listed(origins.iter().cloned()),
            AllowedOrigins::Any => Ok(Self::Any),
        }
    }

    /// A list as the application gives it.
    fn listed(origins: impl IntoIterator<Item = String>) -> Result<Self, ConfigError> {
        let parse = |text: String| {
            Origin::parse(&text).map_err(|problem| ConfigError::new("allowed_origins", format!("{text:?} {problem}")))
        };
        origins.into_iter().map(parse).collect::<Result<_, _>>().map(Self::Listed)
    }

    /// Whether a request with these headers may connect; if not, why in a sentence.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        if matches!(self, Self::Any) || !headers.contains_key(ORIGIN) {
            return Ok(());
        }
        let text = only(headers, ORIGIN);
        let origin = text.and_then(|text| Origin::parse(text).ok());
        let is_allowed = match self {
            Self::Any => true,
            Self::SameHost => origin.zip(only(headers, HOST)).is_some_and(|(origin, host)| origin.is_at(host)),
            Self::Listed(allowed) => origin.is_some_and(|origin| allowed.contains(&origin)),
        };
        if is_allowed {
            return Ok(());
        }
        let shown = text.unwrap_or("that is not text, or more than one").chars().take(200).collect::<String>();
        Err(match self {
            Self::SameHost => {
                format!("origin {shown:?} is not this host; the server's allowed_origins can let other origins connect")
            }
            _ => format!("origin {shown:?} is not among the server's allowed_origins"),
        })
    }
}

impl Origin {
    /// # Errors
    /// What is wrong, to be read behind the text.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = match text.split_once("://") {
            Some(parts) => parts,
            None if text == "*" => {
                return Err(
                    "is no origin; `allow_any_origin` lets every page connect, and so does \"any\" in place of the list",
                );
            }
            None if text.eq_ignore_ascii_case("null") => {
                return Err("is what many kinds of pages have in common, and none can be told from another");
            }
            None => return Err("has no scheme; an origin is such as https://example.org or http://localhost:3000"),
        };
        let is_scheme_char = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme_char) {
            return Err("has a scheme that cannot be one");
        }
        if rest.contains(['/', '?', '#']) {
            return Err(
                "has more than a scheme, a host and a port; an origin has no path, not even a slash at its end",
            );
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = host_and_port(rest)?;
        let port = port.or_else(|| default_port(&scheme));
        Ok(Self { scheme, host, port })
    }

    /// Whether this is the host that a request asked for, in the words of its `Host` header.
    fn is_at(&self, host: &str) -> bool {
        // What has no port of its own, such as an app, is not a page of this server's.
        let Some(default) = default_port(&self.scheme) else { return false };
        host_and_port(host).is_ok_and(|(host, port)| host == self.host && port.or(Some(default)) == self.port)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = match text.rsplit_once(':') {
        // A colon within the brackets of an IPv6 address is not that of a port.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| "has a port that is not a number from 0 to 65535")?)
        }
        Some(_) => return Err("has a port that is not a number from 0 to 65535"),
        None => None,
    };
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => match address.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => return Err("has brackets without an IPv6 address in them"),
        },
        None if host.is_empty() => return Err("has no host"),
        None if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) => {
            return Err("has a host with characters that a host cannot have; \
                        patterns are not known, and a name with other letters is written in its xn-- form");
        }
        None => host.to_ascii_lowercase(),
    };
    Ok((host, port))
}

/// The value of a header that there should be one of.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn check(origins: &Origins, origin: &[&str], host: &[&str]) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        for (name, values) in [(ORIGIN, origin), (HOST, host)] {
            for value in values {
                headers.append(name.clone(), HeaderValue::from_str(value).expect("a value"));
            }
        }
        origins.check(&headers)
    }

    #[test]
    fn by_default_an_origin_must_be_the_host_that_was_asked_for() {
        for (origin, host, is_allowed) in [
            ("http://example.org", "example.org", true),
            ("http://example.org", "example.org:80", true),
            ("http://example.org:80", "example.org", true),
            ("https://example.org", "example.org", true),
            ("https://example.org", "example.org:443", true),
            ("https://example.org:8443", "example.org:8443", true),
            ("HTTPS://Example.ORG", "eXample.org", true),
            ("http://127.0.0.1:8125", "127.0.0.1:8125", true),
            ("http://[::1]:8125", "[::1]:8125", true),
            ("http://[::1]", "[0:0:0:0:0:0:0:1]", true),
            ("http://evil.example", "example.org", false),
            ("http://example.org.evil.example", "example.org", false),
            ("http://sub.example.org", "example.org", false),
            ("http://example.org", "sub.example.org", false),
            ("http://example.org:8125", "example.org", false),
            ("http://example.org", "example.org:8125", false),
            ("http://example.org", "example.org:443", false),
            ("http://localhost:3000", "localhost:8125", false),
            ("http://[::1]:3000", "[::1]:8125", false),
            ("capacitor://localhost", "localhost", false),
            ("null", "example.org", false),
            ("null", "null", false),
            ("", "example.org", false),
            ("example.org", "example.org", false),
            ("http://", "example.org", false),
            ("http://example.org/", "example.org", false),
            ("http://user@example.org", "example.org", false),
            ("http://example.org:", "example.org", false),
            ("http://example.org:+80", "example.org", false),
            ("http://example.org:99999", "example.org", false),
            ("http://example.org http://example.org", "example.org", false),
            ("http://example.org", "", false),
        ] {
            let result = check(&Origins::SameHost, &[origin], &[host]);
            assert_eq!(result.is_ok(), is_allowed, "{origin:?} at {host:?}: {result:?}");
        }
    }

    #[test]
    fn what_is_no_browsers_request_passes_and_what_is_not_clear_does_not() {
        let one = ["http://example.org"];
        let listed = Origins::listed(one.map(str::to_owned)).expect("are origins");
        for origins in [Origins::SameHost, listed.clone(), Origins::Any] {
            assert_eq!(check(&origins, &[], &["example.org"]), Ok(()));
            assert_eq!(check(&origins, &[], &[]), Ok(()));
        }
        for (origin, host) in
            [(&[one[0], one[0]][..], &["example.org"][..]), (&one, &["example.org", "example.org"]), (&one, &[])]
        {
            assert!(check(&Origins::SameHost, origin, host).is_err(), "{origin:?} at {host:?}");
        }
        assert!(check(&listed, &[one[0], one[0]], &["example.org"]).is_err());
        assert_eq!(check(&Origins::Any, &["null", "null"], &[]), Ok(()));
    }

    #[test]
    fn a_list_allows_what_is_on_it_and_nothing_else() {
        let list = ["https://Example.org", "http://localhost:3000", "capacitor://localhost", "http://[0::1]:80"];
        let origins = Origins::listed(list.map(str::to_owned)).expect("are origins");
        for (origin, is_allowed) in [
            ("https://example.org", true),
            ("https://example.org:443", true),
            ("http://localhost:3000", true),
            ("capacitor://localhost", true),
            ("http://[::1]", true),
            ("http://example.org", false),
            ("https://example.org:444", false),
            ("http://localhost", false),
            ("https://localhost:3000", false),
            ("ionic://localhost", false),
            ("https://this.server", false),
            ("null", false),
            ("", false),
        ] {
            let result = check(&origins, &[origin], &["this.server"]);
            assert_eq!(result.is_ok(), is_allowed, "{origin:?}: {result:?}");
        }
        let none = Origins::listed([]).expect("is a list");
        assert!(check(&none, &["http://this.server"], &["this.server"]).is_err());
    }

    #[test]
    fn a_refusal_names_the_origin_and_the_setting() {
        let words = check(&Origins::SameHost, &["https://evil.example"], &["example.org"]).expect_err("is refused");
        assert!(words.contains("\"https://evil.example\"") && words.contains("allowed_origins"), "{words}");
        let words = check(&Origins::Listed(Vec::new()), &["null"], &["example.org"]).expect_err("is refused");
        assert!(words.contains("\"null\"") && words.contains("allowed_origins"), "{words}");
    }

    #[test]
    fn what_cannot_stand_in_the_list_is_named() {
        for (bad, words) in [
            ("example.org", "has no scheme"),
            ("", "has no scheme"),
            ("*", "`allow_any_origin`"),
            ("null", "many kinds of pages"),
            ("://example.org", "scheme that cannot be"),
            ("https://", "has no host"),
            ("https://example.org/", "no path"),
            ("https://example.org/app", "no path"),
            ("https://example.org?x", "no path"),
            ("https://*.example.org", "patterns are not known"),
            ("https://münchen.example", "xn--"),
            ("https://user@example.org", "characters"),
            ("https://example.org:https", "port"),
            ("https://example.org:65536", "port"),
            ("https://[example]", "IPv6"),
        ] {
            let error = Origins::listed(["https://fine.example".to_owned(), bad.to_owned()]).expect_err(bad);
            assert_eq!(error.setting(), "allowed_origins");
            let sentence = error.to_string();
            assert!(sentence.contains(&format!("{bad:?}")) && sentence.contains(words), "{bad:?} gives {sentence}");
        }
    }
}
